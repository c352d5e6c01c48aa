//! What stands in the packets: authentication header and trailer, versions and families, each beside stock where it has them.

use crate::case::{Case, Lab};
use crate::kit::wait::{Outcome, Stamp, ensure, near, secs, throughout, until};
use crate::pair::{A, B, Pair, config, skew};

pub(crate) const CASES: &[Case] = &[
    Case::pair("wire_ah_is_sealed_numbered_and_handed_over", ah),
    Case::pair("wire_ah_with_other_passwords_makes_two_masters", ah_mismatch),
    // New in 2.4: the peer is ours, too.
    Case::single("wire_hmac_trailers_are_demanded_checked_and_rotated", hmac).ours_only(),
];

fn with_ah(priority: u8, password: &str) -> String {
    config(priority, &format!("authentication {{\n auth_type AH\n auth_pass {password}\n}}"))
}

fn ah(lab: &Lab) -> Outcome {
    let mut pair = Pair::elected(lab, &with_ah(150, "secret"), &with_ah(100, "secret"))?;
    let adverts = until(secs(4.0), "three adverts of a", || {
        Some(pair.wire.adverts_of("a", pair.born)).filter(|adverts| adverts.len() >= 3)
    })?;
    for (advert, number) in adverts.iter().zip(1..) {
        let header = advert.header.as_ref().ok_or("no authentication header")?;
        ensure!(header[..4] == [112, 4, 0, 0], "the header begins {:02x?}", &header[..4]);
        ensure!(header[4..8] == [10, 0, 0, 1], "SPI {:02x?}", &header[4..8]);
        ensure!(header[8..12] == u32::to_be_bytes(number), "sequence {:02x?}", &header[8..12]);
        ensure!(advert.password == [0; 8] && advert.checksum_right, "{advert}");
    }
    ensure!(adverts.len() < 8 && !pair.has_vip(B), "b has the address, too");
    let (at, _) = pair.a.stop()?;
    let last = pair.wire.last_advert_of("a", Stamp::now()).ok_or("a never spoke")?;
    let first = pair.wait_master(B, at, secs(3.0))?;
    near("priority 0 to the first advert of b", first.at.since(last.at), skew(100), 0.1)?;
    let number = |advert: &crate::kit::wire::Advert| advert.header.as_ref().map(|h| h[8..12].to_vec());
    ensure!(number(&first) > number(&last), "b counts {:?} after {:?}", number(&first), number(&last));
    // The one that comes back has heard where the numbers are.
    let again = pair.start_a(&[])?;
    pair.wait_master(A, again, secs(7.0))?;
    until(secs(2.0), "b to drop the address", || (!pair.has_vip(B)).then_some(()))
        .map_err(|e| pair.b.explain(e))
}

fn ah_mismatch(lab: &Lab) -> Outcome {
    let pair = Pair::started(lab, &with_ah(150, "secret"), &with_ah(100, "other"))?;
    pair.wait_master(A, pair.born, secs(6.0))?;
    pair.wait_master(B, pair.born, secs(6.0))?;
    for daemon in [&pair.a, &pair.b] {
        daemon.wait_log("IPSEC-AH : invalid IPSEC HMAC-MD5 value", secs(3.0))?;
    }
    Ok(())
}

fn with_hmac(priority: u8, lines: &str) -> String {
    config(priority, &format!("auth_hmac {{\n {lines}\n}}"))
}

fn hmac(lab: &Lab) -> Outcome {
    let lab =
        Lab { subject: lab.subject.clone(), peer: lab.subject.clone(), directory: lab.directory.clone() };
    let one = "key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let two = "key 2 0123456789abcdef0123456789abcdef";
    let old = format!("{one}\n active_key 1");
    let mut pair = Pair::elected(&lab, &with_hmac(150, &old), &with_hmac(100, &old))?;
    let advert = pair.wire.adverts_of("a", pair.born).pop().ok_or("a never spoke")?;
    ensure!(advert.trailer.len() == 28, "a trailer of {} bytes", advert.trailer.len());
    ensure!(advert.trailer[..4] == [1, 1, 0, 0] && advert.checksum_right, "{:02x?}", advert.trailer);
    let seconds = u32::from_be_bytes([4, 5, 6, 7].map(|at| advert.trailer[at]));
    let age = advert.at.0 / 1_000_000_000 - i128::from(seconds);
    ensure!((0..=1).contains(&age), "the clock in the trailer is {age} s old");
    // The new key is made known everywhere, then used, then the old one is forgotten.
    let both = format!("{one}\n {two}\n active_key 1");
    let new = format!("{one}\n {two}\n active_key 2");
    let only = format!("{two}\n active_key 2");
    pair.b.reload(&with_hmac(100, &both))?;
    pair.a.reload(&with_hmac(150, &new))?;
    pair.b.reload(&with_hmac(100, &new))?;
    pair.b.reload(&with_hmac(100, &only))?;
    let rotated = Stamp::now();
    let signed = |advert: &crate::kit::wire::Advert| advert.trailer.get(1) == Some(&2);
    pair.wire.wait_advert("one with key 2", rotated, secs(3.0), signed)?;
    throughout(secs(4.0), "a alone is master", || pair.has_vip(A) && !pair.has_vip(B))
        .map_err(|e| pair.b.explain(e))?;
    // A peer that does not sign is not believed.
    pair.a.stop()?;
    pair.wait_master(B, rotated, secs(3.0))?;
    pair.a.configure(&config(150, ""))?;
    let plain = pair.start_a(&[])?;
    pair.wait_master(A, plain, secs(7.0))?;
    pair.b.wait_log("advert from 10.0.0.1 is not signed", secs(3.0))?;
    pair.a.wait_log("vrrp packet from 10.0.0.2 too long", secs(3.0))?;
    let stats = pair.b.dump(nix::sys::signal::Signal::SIGUSR2, "tmp/keepalived.stats")?;
    let missing = stats.lines().find_map(|line| line.strip_prefix("    Missing: "));
    ensure!(missing.is_some_and(|count| count != "0"), "{stats}");
    let data = pair.b.dump(nix::sys::signal::Signal::SIGUSR1, "tmp/keepalived.data")?;
    for line in [
        "   Authentication extension = HMAC-SHA256-128",
        "     Keys = 1, active key id = 2",
        "     Mode = enforce",
        "     Anti replay = time, window = 5 sec",
    ] {
        ensure!(data.lines().any(|found| found == line), "no line '{line}' in\n{data}");
    }
    Ok(())
}
