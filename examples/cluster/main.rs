//! The demo: two directors, two web servers and a client on one network, and what the client sees while parts of it die.
//!
//! Every host is a network namespace. On a kernel without IPVS the whole cluster runs inside a guest kernel. It is built of the
//! lab's parts (`tests/lab/kit`) and, like the lab, knows the daemon only by what it does.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to a terminal")]

mod client;
#[path = "../../tests/lab/kit/mod.rs"]
mod kit;

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use client::Client;
use kit::daemon::{Daemon, Program};
use kit::guest::{self, Guest};
use kit::net::{Cable, Host, Switch};
use kit::wait::{Outcome, Stamp, ensure, secs, until};
use kit::{ipvs, place};

/// The address of the service.
const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// Seconds the whole demo may take.
const LIMIT: u32 = 120;
/// Log lines worth showing while they happen.
const TELLING: [&str; 9] = [
    "Entering",
    "Adding service",
    "Removing service",
    "quorum",
    "Reload complete",
    "refus",
    "Respawning",
    "keeps",
    "keeping",
];

fn main() -> ExitCode {
    kit::net::remember_home();
    let outcome = if place::in_guest() || guest::kernel_has_ipvs() { here() } else { in_guest() };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("\nNOT AS EXPECTED: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Boots a kernel that has IPVS, runs this program in it and prints what it says as it says it.
fn in_guest() -> Outcome {
    if let Some(obstacle) = guest::obstacle() {
        return Err(format!("this kernel has no IPVS, and {obstacle}"));
    }
    println!("this machine's kernel has no IPVS: the cluster runs inside a guest kernel (user-mode Linux)");
    let directory = place::case_directory("demo")?;
    let (said, status) = (directory.join("said"), directory.join("status"));
    place::write(&said, "")?;
    let program = env::current_exe().map_err(|e| e.to_string())?;
    let subject = env::var("SUBJECT").unwrap_or_else(|_| "ours".to_owned());
    let script = format!(
        "export LAB_IN_GUEST=1 SUBJECT='{subject}'\n'{}' >'{}' 2>&1\necho $? >'{}'\n",
        program.display(),
        said.display(),
        status.display()
    );
    let mut guest = Guest::boot(&directory, &script, LIMIT)?;
    let mut shown = 0;
    loop {
        let ended = guest.ended();
        let text = fs::read(&said).unwrap_or_default();
        let _ = std::io::stdout().write_all(text.get(shown..).unwrap_or_default());
        let _ = std::io::stdout().flush();
        shown = text.len();
        if ended {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = fs::read_to_string(&status).unwrap_or_default();
    ensure!(!status.is_empty(), "the guest ended early:\n{}", guest.console());
    let _ = fs::remove_dir_all(&directory);
    ensure!(status.trim() == "0", "see above");
    Ok(())
}

/// The cluster in namespaces of this kernel.
fn here() -> Outcome {
    let directory = place::case_directory("cluster")?;
    let subject = Program::named(&env::var("SUBJECT").unwrap_or_else(|_| "ours".to_owned()));
    let mut cluster = Cluster::new(&subject, &directory)?;
    cluster.show()?;
    drop(cluster);
    let _ = fs::remove_dir_all(&directory);
    Ok(())
}

/// A director: the daemon is declared first, it ends before its host does.
struct Director {
    daemon: Daemon,
    host: Host,
    /// Log lines already shown.
    shown: usize,
    power: Power,
}

/// Whether a host is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    Off,
}

/// A web server with nginx.
struct Web {
    nginx: Option<Child>,
    host: Host,
    folder: PathBuf,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Web {
    fn new(switch: &Switch, name: &str, address: &str, directory: &std::path::Path) -> Outcome<Self> {
        let host = Host::on(switch, name, &[address])?;
        // Direct routing: the web server owns the service address, but never says so on the network.
        for interface in ["all", "lo"] {
            host.space.sysctl(&format!("net.ipv4.conf.{interface}.arp_ignore"), "1")?;
            host.space.sysctl(&format!("net.ipv4.conf.{interface}.arp_announce"), "2")?;
        }
        host.space.ip(&format!("address add {SERVICE}/32 dev lo"))?;
        let folder = directory.join(name);
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let at = folder.display();
        place::write(
            &folder.join("nginx.conf"),
            format!(
                "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b;\n\
                 fastcgi_temp_path {at}/c; uwsgi_temp_path {at}/d; scgi_temp_path {at}/e;\n\
                 server {{ listen 80; location / {{ return 200 '{name}'; }} }} }}\n"
            ),
        )?;
        let mut web = Self { nginx: None, host, folder };
        web.start()?;
        Ok(web)
    }

    fn start(&mut self) -> Outcome {
        let folder = &self.folder;
        let mut command = Command::new(place::nginx());
        command
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.host.space.inside(|| command.spawn()).map_err(|e| format!("starting nginx: {e}"))?;
        self.nginx = Some(child);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut nginx) = self.nginx.take() {
            let _ = nginx.kill();
            let _ = nginx.wait();
        }
    }
}

struct Cluster {
    directors: [Director; 2],
    webs: [Web; 2],
    client: Client,
    switch: Switch,
    configs: [String; 2],
    subject: Program,
    born: Stamp,
}

impl Cluster {
    fn new(subject: &Program, directory: &std::path::Path) -> Outcome<Self> {
        ensure!(subject.path.exists(), "no {}", subject.path.display());
        let switch = Switch::new()?;
        let configs =
            [include_str!("director-1.conf").to_owned(), include_str!("director-2.conf").to_owned()];
        let director = |name: &str, address: &str, config: &str| -> Outcome<Director> {
            let host = Host::on(&switch, name, &[address])?;
            host.space.sysctl("net.ipv4.conf.all.rp_filter", "0")?;
            let daemon = Daemon::new(subject, &host, directory, config)?;
            Ok(Director { daemon, host, shown: 0, power: Power::On })
        };
        let directors = [
            director("director-1", "192.0.2.1/24", &configs[0])?,
            director("director-2", "192.0.2.2/24", &configs[1])?,
        ];
        let webs = [
            Web::new(&switch, "web-1", "192.0.2.11/24", directory)?,
            Web::new(&switch, "web-2", "192.0.2.12/24", directory)?,
        ];
        let client = Client::on(Host::on(&switch, "client", &["192.0.2.50/24"])?, SERVICE);
        let subject = subject.clone();
        Ok(Self { directors, webs, client, switch, configs, subject, born: Stamp::now() })
    }

    /// All steps; the first thing that is not as expected ends it.
    fn show(&mut self) -> Outcome {
        let program = &self.subject.path;
        println!(
            "directors 192.0.2.1 and .2, web servers .11 and .12, client .50, service address {SERVICE}"
        );
        println!("daemon: {}", program.display());

        self.headline("both directors start");
        for director in &mut self.directors {
            director.daemon.start(&director.host, &[])?;
        }
        self.expect("director-1 owns the address", 8.0, |c| c.owner() == ["director-1"])?;
        self.expect("both web servers in both tables", 8.0, |c| c.table(0) == EVEN && c.table(1) == EVEN)?;
        self.client.begin();
        self.expect("the client is answered by both", 5.0, |c| c.client.answered_by(&["web-1", "web-2"]))?;
        self.report();

        self.headline("nothing happens for three seconds");
        self.pass(3.0);
        let seen = self.report();
        ensure!(seen.lost == 0, "requests were lost in peace");
        ensure!(seen.share("web-1").abs_diff(50) <= 10, "the load is not shared evenly");

        self.headline("web-1 dies (kill -9 of nginx)");
        self.webs[0].kill();
        self.expect("web-1 is taken out of the table", 6.0, |c| c.table(0) == [("192.0.2.12:80", 1)])?;
        self.report();
        self.headline("… and without it");
        self.pass(2.0);
        let seen = self.report();
        ensure!(seen.lost == 0 && seen.share("web-2") == 100, "web-2 alone should answer everything");

        self.headline("web-1 comes back");
        self.webs[0].start()?;
        self.expect("web-1 is put in again", 6.0, |c| c.table(0) == EVEN)?;
        self.expect("web-1 answers", 3.0, |c| c.client.answered_by(&["web-1"]))?;
        let seen = self.report();
        ensure!(seen.lost == 0, "its return cost requests");

        self.headline("director-1 loses power");
        let dark = Stamp::now();
        self.directors[0].daemon.crash()?;
        self.switch.cable(&self.directors[0].host, Cable::Out)?;
        self.directors[0].power = Power::Off;
        self.expect("director-2 owns the address", 6.0, |c| c.directors[1].host.has(SERVICE))?;
        println!("      the address moved {:.2} s after the power went", Stamp::now().since(dark));
        self.expect("the client is answered again", 3.0, |c| c.client.answered_since(dark, 3.0))?;
        self.pass(1.0);
        let seen = self.report();
        ensure!(seen.gap < 5.0, "the gap is longer than three adverts and the skew");

        self.headline("director-1 is back");
        let director = &self.directors[0].host;
        // As after a boot: no service address, an empty table.
        director.space.ip(&format!("-force address del {SERVICE}/32 dev eth0")).ok();
        director.space.run("ipvsadm", &["-C"])?;
        self.switch.cable(&self.directors[0].host, Cable::In)?;
        let director = &mut self.directors[0];
        director.power = Power::On;
        director.daemon.start(&director.host, &[])?;
        self.expect("director-1 alone owns the address", 9.0, |c| c.owner() == ["director-1"])?;
        self.pass(1.5);
        let seen = self.report();
        ensure!(seen.gap < 1.5, "taking back cost more than a moment");
        self.expect("both web servers in its table", 4.0, |c| c.table(0) == EVEN)?;

        self.headline("reload: web-2 gets three times the weight");
        for (director, config) in self.directors.iter().zip(&self.configs) {
            director.daemon.reload(&heavier(config))?;
        }
        self.expect("the new weight in both tables", 4.0, |c| {
            c.table(0) == HEAVIER && c.table(1) == HEAVIER
        })?;
        self.report();
        self.headline("… and with it");
        self.pass(4.0);
        let seen = self.report();
        ensure!(seen.lost == 0, "the reload cost requests");
        ensure!(seen.share("web-2").abs_diff(75) <= 10, "web-2 should answer three of four");
        ensure!(self.owner() == ["director-1"], "the reload moved the address");

        if !self.subject.is_stock() {
            self.headline("reload: a file with a lost brace");
            let broken =
                heavier(&self.configs[0]).replacen("    script_user root\n}\n", "    script_user root\n", 1);
            let director = &self.directors[0];
            director.daemon.configure(&broken)?;
            director.daemon.signal(nix::sys::signal::Signal::SIGHUP)?;
            self.pass(3.0);
            let seen = self.report();
            ensure!(seen.lost == 0, "the broken file cost requests");
            ensure!(
                self.owner() == ["director-1"] && self.table(0) == HEAVIER,
                "the broken file was followed"
            );
        }

        self.headline("both directors stop");
        self.client.end();
        self.report();
        for director in &mut self.directors {
            let (_, status) = director.daemon.stop()?;
            ensure!(status.success(), "{} ended with {status}", director.host.name);
        }
        self.expect("no address, no table, no process is left", 3.0, |c| {
            c.owner().is_empty()
                && c.directors.iter().enumerate().all(|(number, director)| {
                    c.services(number).is_empty() && director.host.space.processes().is_empty()
                })
        })?;
        println!("\nEverything happened as expected, in {:.0} seconds.", Stamp::now().since(self.born));
        Ok(())
    }

    fn headline(&mut self, text: &str) {
        self.news();
        self.client.mark();
        println!("\n{:6.1} s  {text}", Stamp::now().since(self.born));
    }

    /// Shows new log lines of the directors.
    fn news(&mut self) {
        for director in &mut self.directors {
            let log = director.daemon.log();
            for line in &log[director.shown.min(log.len())..] {
                if TELLING.iter().any(|word| line.text.contains(word)) {
                    // Behind the time in stock's form: "Sat Nov 21 06:00:00 2026: ".
                    let text = line.text.get(26..).unwrap_or(&line.text);
                    println!("{:6.1} s    {}: {text}", line.at.since(self.born), director.host.name);
                }
            }
            director.shown = log.len();
        }
    }

    /// Lets time pass.
    fn pass(&mut self, seconds: f64) {
        let begin = Stamp::now();
        while Stamp::now().since(begin) < seconds {
            self.news();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for what should happen.
    fn expect(&mut self, what: &str, seconds: f64, happened: impl Fn(&Self) -> bool) -> Outcome {
        let begin = Stamp::now();
        until(secs(seconds), what, || {
            self.news();
            std::thread::sleep(Duration::from_millis(60));
            happened(self).then_some(())
        })
        .map_err(|e| {
            let logs: Vec<_> =
                self.directors.iter().map(|director| director.daemon.explain(String::new())).collect();
            format!("{e}\n{}", logs.join("\n"))
        })?;
        println!(
            "{:6.1} s    ok after {:.1} s: {what}",
            Stamp::now().since(self.born),
            Stamp::now().since(begin)
        );
        Ok(())
    }

    /// Names of the directors that have the address.
    fn owner(&self) -> Vec<&str> {
        let live = self.directors.iter().filter(|director| director.power == Power::On);
        let owners = live.filter(|director| director.host.has(SERVICE));
        owners.map(|director| director.host.name.as_str()).collect()
    }

    fn services(&self, director: usize) -> Vec<ipvs::Service> {
        ipvs::table(&self.directors[director].host).unwrap_or_default()
    }

    /// Real servers and weights in a director's table.
    fn table(&self, director: usize) -> Vec<(&'static str, i64)> {
        let services = self.services(director);
        let found = services.iter().flat_map(|service| &service.destinations);
        found
            .map(|one| match one.address.as_str() {
                "192.0.2.11:80" => ("192.0.2.11:80", one.weight),
                "192.0.2.12:80" => ("192.0.2.12:80", one.weight),
                _ => ("unknown", one.weight),
            })
            .collect()
    }

    /// What the client saw since the last headline, who owns the address, and the table.
    fn report(&mut self) -> client::Seen {
        self.news();
        let seen = self.client.seen();
        println!("      client   {seen}");
        let owner = self.owner();
        println!(
            "      address  {}",
            if owner.is_empty() { "nobody's".to_owned() } else { owner.join(" and ") }
        );
        for (number, director) in self.directors.iter().enumerate() {
            if director.power == Power::Off {
                println!("      {}  without power", director.host.name);
                continue;
            }
            for service in self.services(number) {
                println!("      {}  {}", director.host.name, service.head);
                for one in &service.destinations {
                    println!(
                        "                  -> {} {} weight {}, {} active, {} past",
                        one.address, one.forward, one.weight, one.active, one.inactive
                    );
                }
            }
        }
        seen
    }
}

const EVEN: [(&str, i64); 2] = [("192.0.2.11:80", 1), ("192.0.2.12:80", 1)];
const HEAVIER: [(&str, i64); 2] = [("192.0.2.11:80", 1), ("192.0.2.12:80", 3)];

/// The configuration with three times the weight for the second web server.
fn heavier(config: &str) -> String {
    let (before, after) = config.split_once("real_server 192.0.2.12 80").unwrap_or((config, ""));
    format!("{before}real_server 192.0.2.12 80{}", after.replacen("weight 1", "weight 3", 1))
}
