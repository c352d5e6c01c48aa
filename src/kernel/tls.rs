//! TLS clients over the host's OpenSSL (`kernel::libssl`): contexts and streams on non-blocking sockets.
//!
//! Nothing is decided here: what a context presents and asks for, and what an error means for a check, is
//! `check::probe::tls`' business. Every call leaves the library's queue of errors empty.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::io;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use nix::errno::Errno;

use super::libssl::{self, Bio, Certificate, Ctx, Library, Ssl, library};

/// Why OpenSSL refused, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// What all streams of a kind share.
pub struct Context {
    ctx: NonNull<Ctx>,
    library: &'static Library,
}

// SAFETY: the library counts references to a context and locks what it changes; ours is changed through `&mut` only.
unsafe impl Send for Context {}
// SAFETY: as above: what takes `&self` makes streams.
unsafe impl Sync for Context {}

/// Commands of `SSL_CTX_ctrl` and `SSL_ctrl` (<openssl/ssl.h>), and values for them.
const CTRL_EXTRA_CHAIN_CERT: c_int = 14;
const CTRL_MODE: c_int = 33;
const CTRL_SET_TLSEXT_HOSTNAME: c_int = 55;
const CTRL_CLEAR_MODE: c_int = 78;
const MODE_ACCEPT_MOVING_WRITE_BUFFER: c_long = 0x2;
const MODE_AUTO_RETRY: c_long = 0x4;
const MODE_RELEASE_BUFFERS: c_long = 0x10;
const NAMETYPE_HOST_NAME: c_long = 0;
const VERIFY_PEER: c_int = 1;

impl Context {
    /// For clients: the host's policy decides on versions and ciphers, nobody is verified, and a stream that waits
    /// holds no buffers. No call reads on and on where a server sends only what is for the library (session tickets, new
    /// keys) without end: that is [`Interrupted::Again`]. Costs more than a megabyte at the first call.
    pub fn client() -> Result<Self, Refused> {
        let ssl = library().map_err(Refused)?;
        // SAFETY: no preconditions; the method is static.
        let ctx = unsafe { (ssl.ctx_new)((ssl.client_method)()) };
        let context = Self { ctx: NonNull::new(ctx).ok_or_else(|| refused(ssl))?, library: ssl };
        let modes = MODE_RELEASE_BUFFERS | MODE_ACCEPT_MOVING_WRITE_BUFFER;
        // SAFETY: the context lives; these commands take a number and no pointer. They return the modes that hold then.
        unsafe {
            (ssl.ctx_ctrl)(ctx, CTRL_MODE, modes, ptr::null_mut());
            (ssl.ctx_ctrl)(ctx, CTRL_CLEAR_MODE, MODE_AUTO_RETRY, ptr::null_mut());
        }
        Ok(context)
    }

    /// The server must show a certificate that the trusted ones vouch for.
    pub fn verify(&mut self) {
        // SAFETY: the context lives; without a callback the library's own verdict counts.
        unsafe { (self.library.ctx_set_verify)(self.ctx.as_ptr(), VERIFY_PEER, ptr::null()) };
    }

    /// Trusts whom the host trusts.
    pub fn trust_the_host(&mut self) -> Result<(), Refused> {
        let ssl = self.library;
        // SAFETY: the context lives.
        done(ssl, unsafe { (ssl.ctx_set_default_verify_paths)(self.ctx.as_ptr()) })
    }

    /// Trusts every certificate of this text.
    pub fn trust(&mut self, pem: &[u8]) -> Result<(), Refused> {
        let ssl = self.library;
        // SAFETY: the context lives, and its store as long.
        let store = unsafe { (ssl.ctx_cert_store)(self.ctx.as_ptr()) };
        for certificate in certificates(ssl, pem)? {
            // SAFETY: both live; the store takes a reference of its own.
            done(ssl, unsafe { (ssl.store_add)(store, certificate.as_ptr()) })?;
        }
        Ok(())
    }

    /// Presents the first certificate of this text, and the others as those up to an authority.
    pub fn present(&mut self, pem: &[u8]) -> Result<(), Refused> {
        let ssl = self.library;
        let ctx = self.ctx.as_ptr();
        let mut chain = certificates(ssl, pem)?.into_iter();
        if let Some(own) = chain.next() {
            // SAFETY: both live; the context takes a reference of its own.
            done(ssl, unsafe { (ssl.ctx_use_certificate)(ctx, own.as_ptr()) })?;
        }
        for next in chain {
            // SAFETY: both live; this command takes a certificate, and keeps ours when it succeeds.
            let kept = unsafe { (ssl.ctx_ctrl)(ctx, CTRL_EXTRA_CHAIN_CERT, 0, next.as_ptr().cast()) };
            done(ssl, c_int::from(kept == 1))?;
            std::mem::forget(next);
        }
        Ok(())
    }

    /// Proves itself with the private key of this text; `password` opens it, a terminal is never asked.
    pub fn prove_with(&mut self, pem: &[u8], password: &[u8]) -> Result<(), Refused> {
        let ssl = self.library;
        let text = Text::new(ssl, pem)?;
        let given = (&raw const password).cast_mut().cast();
        // SAFETY: the text lives; `answer` is given a pointer to the password, which outlives the call.
        let key = unsafe { (ssl.read_key)(text.bio.as_ptr(), ptr::null_mut(), Some(answer), given) };
        let key = Owned { pointer: NonNull::new(key).ok_or_else(|| refused(ssl))?, free: ssl.key_free };
        // SAFETY: both live; the context takes a reference of its own.
        done(ssl, unsafe { (ssl.ctx_use_key)(self.ctx.as_ptr(), key.as_ptr()) })
    }

    /// Do key and certificate belong together?
    pub fn check_key(&self) -> Result<(), Refused> {
        let ssl = self.library;
        // SAFETY: the context lives.
        done(ssl, unsafe { (ssl.ctx_check_key)(self.ctx.as_ptr()) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: ours, given back once; streams hold references of their own.
        unsafe { (self.library.ctx_free)(self.ctx.as_ptr()) };
    }
}

/// Why a call on a stream came to nothing.
#[derive(Debug)]
pub enum Interrupted {
    /// Until bytes arrive.
    WantsBytes,
    /// Until bytes can be sent.
    WantsRoom,
    /// Only until others had their turn: what was read was for the library, and more may be there.
    Again,
    /// The peer's close-notify.
    End,
    /// For good.
    Broken {
        /// The library's words, or the system's.
        reason: String,
        /// The system's number, where it was the system.
        errno: Option<i32>,
    },
}

/// The client's end of a TLS stream over a connected socket `S`, which must not block.
pub struct Stream<S> {
    ssl: NonNull<Ssl>,
    library: &'static Library,
    socket: S,
}

// SAFETY: the library's state of a stream is tied to no thread, and only one has it: all calls take `&mut self`, or
// read a number.
unsafe impl<S: Send> Send for Stream<S> {}

impl<S: AsRawFd> Stream<S> {
    /// Takes over `socket`; sends nothing yet.
    pub fn new(context: &Context, socket: S) -> Result<Self, Refused> {
        let library = context.library;
        // SAFETY: the context lives; the stream takes a reference of its own.
        let ssl = unsafe { (library.ssl_new)(context.ctx.as_ptr()) };
        let stream = Self { ssl: NonNull::new(ssl).ok_or_else(|| refused(library))?, library, socket };
        // SAFETY: the stream lives. The descriptor stays open as long as it does: `socket` is dropped after it.
        done(library, unsafe { (library.ssl_set_fd)(ssl, stream.socket.as_raw_fd()) })?;
        Ok(stream)
    }

    /// Names the server that it wants in the handshake.
    pub fn ask_for(&mut self, server: &str) -> Result<(), Refused> {
        let name = CString::new(server).map_err(|_| Refused("a server name with a NUL".to_owned()))?;
        let pointer = name.as_ptr().cast_mut().cast();
        // SAFETY: the stream lives; this command takes a C string and copies it.
        let set = unsafe {
            (self.library.ssl_ctrl)(self.ssl.as_ptr(), CTRL_SET_TLSEXT_HOSTNAME, NAMETYPE_HOST_NAME, pointer)
        };
        done(self.library, c_int::from(set == 1))
    }

    /// Offers these protocols in the handshake, each with its length before its name (ALPN, RFC 7301 §3.1).
    pub fn offer(&mut self, protocols: &[u8]) -> Result<(), Refused> {
        let length = c_uint::try_from(protocols.len()).map_err(|_| Refused("too long".to_owned()))?;
        let ssl = self.library;
        // SAFETY: the stream lives; the list is copied. This one function returns 0 when it succeeds.
        let set = unsafe { (ssl.ssl_set_alpn)(self.ssl.as_ptr(), protocols.as_ptr(), length) };
        done(ssl, c_int::from(set == 0))
    }

    /// The protocol that both sides agreed on in the handshake.
    pub fn agreed(&self) -> Option<&[u8]> {
        let (mut name, mut length) = (ptr::null(), 0);
        // SAFETY: the stream lives; null, or a name that stands until the next call on the stream, which takes `&mut`.
        unsafe {
            (self.library.ssl_alpn)(self.ssl.as_ptr(), &raw mut name, &raw mut length);
            let length = usize::try_from(length).unwrap_or(0);
            (!name.is_null()).then(|| std::slice::from_raw_parts(name, length))
        }
    }

    /// The server's certificate must bear this name.
    pub fn expect_host(&mut self, name: &str) -> Result<(), Refused> {
        if name.is_empty() {
            return Err(Refused("an empty server name".to_owned()));
        }
        let ssl = self.library;
        // SAFETY: the stream lives, and its parameters as long; the name is copied. Of an empty one the library would look for
        // the end itself.
        done(ssl, unsafe {
            (ssl.expect_host)((ssl.ssl_parameters)(self.ssl.as_ptr()), name.as_ptr().cast(), name.len())
        })
    }

    /// The server's certificate must bear this address.
    pub fn expect_address(&mut self, address: IpAddr) -> Result<(), Refused> {
        let (v4, v6);
        let bytes: &[u8] = match address {
            IpAddr::V4(address) => {
                v4 = address.octets();
                &v4
            }
            IpAddr::V6(address) => {
                v6 = address.octets();
                &v6
            }
        };
        let ssl = self.library;
        // SAFETY: the stream lives, and its parameters as long; the address is copied.
        done(ssl, unsafe {
            (ssl.expect_ip)((ssl.ssl_parameters)(self.ssl.as_ptr()), bytes.as_ptr(), bytes.len())
        })
    }

    /// Goes on with the handshake.
    pub fn connect(&mut self) -> Result<(), Interrupted> {
        self.call(|ssl, stream| {
            // SAFETY: the stream lives.
            unsafe { (ssl.ssl_connect)(stream) }
        })
    }

    /// Reads what is there: how many bytes, at least one unless `into` is empty.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Interrupted> {
        let mut read = 0;
        let (buffer, length) = (into.as_mut_ptr().cast(), into.len());
        self.call(|ssl, stream| {
            // SAFETY: the stream lives; the library writes at most `length` bytes.
            unsafe { (ssl.ssl_read)(stream, buffer, length, &raw mut read) }
        })?;
        Ok(read)
    }

    /// Sends from `bytes`: how many. After an interruption the same bytes are to be given again, wherever they lie then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Interrupted> {
        let mut sent = 0;
        self.call(|ssl, stream| {
            // SAFETY: the stream lives; the library reads at most as many bytes as there are.
            unsafe { (ssl.ssl_write)(stream, bytes.as_ptr().cast(), bytes.len(), &raw mut sent) }
        })?;
        Ok(sent)
    }

    /// Sends a close-notify, as far as that is possible without waiting.
    pub fn say_goodbye(&mut self) {
        // SAFETY: the stream lives.
        unsafe { (self.library.ssl_shutdown)(self.ssl.as_ptr()) };
        clear(self.library);
    }

    /// Why the server's certificate did not satisfy; `None` when it did, or was not asked for.
    pub fn mistrust(&self) -> Option<String> {
        // SAFETY: the stream lives; the words of a number are static text.
        unsafe {
            match (self.library.ssl_verify_result)(self.ssl.as_ptr()) {
                0 => None,
                verdict => Some(words((self.library.verify_words)(verdict))),
            }
        }
    }

    /// What it goes over.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// One call on the stream, which returns 1 when it succeeds.
    fn call(&mut self, call: impl FnOnce(&Library, *mut Ssl) -> c_int) -> Result<(), Interrupted> {
        let (ssl, stream) = (self.library, self.ssl.as_ptr());
        // Left from an earlier call they would be taken for the reason of this one.
        clear(ssl);
        Errno::clear();
        let result = call(ssl, stream);
        let system = io::Error::last_os_error();
        if result == 1 {
            return Ok(());
        }
        // SAFETY: the stream lives, and this was its last call in this thread.
        let kind = unsafe { (ssl.ssl_error)(stream, result) };
        let interrupted = match kind {
            // Who waits for news of a socket that was not read to its end waits in vain.
            ERROR_WANT_READ if system.raw_os_error() != Some(libc::EAGAIN) => Interrupted::Again,
            ERROR_WANT_READ => Interrupted::WantsBytes,
            ERROR_WANT_WRITE => Interrupted::WantsRoom,
            ERROR_ZERO_RETURN => Interrupted::End,
            _ => match (first_reason(ssl), system.raw_os_error()) {
                (Some(reason), _) => Interrupted::Broken { reason, errno: None },
                (None, None | Some(0)) => {
                    Interrupted::Broken { reason: "unexpected eof".to_owned(), errno: None }
                }
                (None, errno) => Interrupted::Broken { reason: system.to_string(), errno },
            },
        };
        clear(ssl);
        Err(interrupted)
    }
}

/// Results of `SSL_get_error` (<openssl/ssl.h>).
const ERROR_WANT_READ: c_int = 2;
const ERROR_WANT_WRITE: c_int = 3;
const ERROR_ZERO_RETURN: c_int = 6;

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        // SAFETY: ours, given back once; the socket is still open.
        unsafe { (self.library.ssl_free)(self.ssl.as_ptr()) };
    }
}

/// An object of the library that is ours to free.
struct Owned<T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: ours, given back once, by the function that is made for it.
        unsafe { (self.free)(self.pointer.as_ptr()) };
    }
}

/// A text that the library reads.
struct Text<'a> {
    bio: NonNull<Bio>,
    library: &'static Library,
    of: PhantomData<&'a [u8]>,
}

impl<'a> Text<'a> {
    fn new(library: &'static Library, text: &'a [u8]) -> Result<Self, Refused> {
        let length = c_int::try_from(text.len()).map_err(|_| Refused("too long".to_owned()))?;
        // SAFETY: the text outlives the reader, which does not write.
        let bio = unsafe { (library.bio_of)(text.as_ptr().cast(), length) };
        Ok(Self { bio: NonNull::new(bio).ok_or_else(|| refused(library))?, library, of: PhantomData })
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, given back once.
        unsafe { (self.library.bio_free)(self.bio.as_ptr()) };
    }
}

/// All certificates of a text, one at least.
fn certificates(ssl: &'static Library, pem: &[u8]) -> Result<Vec<Owned<Certificate>>, Refused> {
    let text = Text::new(ssl, pem)?;
    let mut found = Vec::new();
    loop {
        let password: &[u8] = &[];
        let given = (&raw const password).cast_mut().cast();
        // SAFETY: the text lives; `answer` is given a pointer to the password, which outlives the call.
        let next = unsafe { (ssl.read_certificate)(text.bio.as_ptr(), ptr::null_mut(), Some(answer), given) };
        if let Some(pointer) = NonNull::new(next) {
            found.push(Owned { pointer, free: ssl.certificate_free });
            continue;
        }
        // SAFETY: no preconditions.
        let last = unsafe { (ssl.last_error)() };
        if last >> LIBRARY_SHIFT & LIBRARY_MASK != LIBRARY_PEM || last & REASON_MASK != PEM_NO_START_LINE {
            return Err(refused(ssl));
        }
        clear(ssl);
        if found.is_empty() {
            return Err(Refused("no certificate in it".to_owned()));
        }
        return Ok(found);
    }
}

/// The parts of an error's number (<openssl/err.h>), and the one that means the end of a text (<openssl/pemerr.h>).
const LIBRARY_SHIFT: u32 = 23;
const LIBRARY_MASK: c_ulong = 0xff;
const REASON_MASK: c_ulong = 0x7f_ffff;
const LIBRARY_PEM: c_ulong = 9;
const PEM_NO_START_LINE: c_ulong = 108;

/// Gives the password of a key to the library: how many bytes of it have room in `buffer`.
unsafe extern "C" fn answer(buffer: *mut c_char, room: c_int, _: c_int, given: *mut c_void) -> c_int {
    // SAFETY: the callers above give a pointer to a slice that outlives the call.
    let password = unsafe { *given.cast::<&[u8]>() };
    let length = password.len().min(usize::try_from(room).unwrap_or(0));
    // SAFETY: the library has `room` bytes at `buffer`.
    unsafe { ptr::copy_nonoverlapping(password.as_ptr(), buffer.cast(), length) };
    c_int::try_from(length).unwrap_or(0)
}

/// What a call says that returns 1 when it succeeds.
fn done(ssl: &Library, result: c_int) -> Result<(), Refused> {
    if result == 1 { Ok(()) } else { Err(refused(ssl)) }
}

fn refused(ssl: &Library) -> Refused {
    let reason = first_reason(ssl);
    clear(ssl);
    Refused(reason.unwrap_or_else(|| "OpenSSL gives no reason".to_owned()))
}

/// The first of the reasons that the library has noted.
fn first_reason(ssl: &Library) -> Option<String> {
    // SAFETY: no preconditions; the words of a number are null or static text.
    unsafe {
        match (ssl.first_error)() {
            0 => None,
            error => match (ssl.error_reason)(error) {
                reason if reason.is_null() => Some(format!("error {error:#x} of OpenSSL")),
                reason => Some(words(reason)),
            },
        }
    }
}

fn clear(ssl: &Library) {
    // SAFETY: no preconditions.
    unsafe { (ssl.clear_errors)() };
}

/// # Safety
/// `text` is a C string.
unsafe fn words(text: *const c_char) -> String {
    // SAFETY: the caller's promise.
    libssl::text(unsafe { CStr::from_ptr(text) })
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;

    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_with_a_reason() {
        let mut context = Context::client().unwrap();
        let none = Refused("no certificate in it".to_owned());
        assert_eq!(context.trust(b""), Err(none.clone()));
        assert_eq!(context.present(b"words\n"), Err(none));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let Err(Refused(reason)) = context.trust(broken) else { panic!("trusted") };
        assert!(!reason.is_empty() && reason != "no certificate in it", "{reason}");
    }

    #[test]
    fn a_key_opens_with_its_password_alone_and_nobody_is_asked() {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let long = "a password ".repeat(90);
        for password in ["x", "open sesame", &long] {
            let pem =
                key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), password.as_bytes()).unwrap();
            let mut context = Context::client().unwrap();
            assert_eq!(context.prove_with(&pem, password.as_bytes()), Ok(()));
            assert!(context.prove_with(&pem, b"wrong").is_err());
            assert!(context.prove_with(&pem, b"").is_err());
            assert!(context.check_key().is_err(), "there is no certificate");
        }
        let plain = key.private_key_to_pem_pkcs8().unwrap();
        assert_eq!(Context::client().unwrap().prove_with(&plain, b"not needed"), Ok(()));
    }

    #[test]
    fn a_refusal_leaves_no_reason_behind_for_the_next_one() {
        let mut context = Context::client().unwrap();
        assert!(context.prove_with(b"no key", b"").is_err());
        let ssl = library().unwrap();
        assert_eq!(first_reason(ssl), None);
    }

    #[test]
    fn no_certificate_can_bear_an_empty_name() {
        let context = Context::client().unwrap();
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut stream = Stream::new(&context, socket).unwrap();
        assert_eq!(stream.expect_host(""), Err(Refused("an empty server name".to_owned())));
        assert_eq!(stream.expect_host("a.example"), Ok(()));
    }

    #[test]
    fn what_is_for_the_library_alone_ends_a_call_record_by_record() {
        use std::io::Write as _;
        use std::os::unix::net::UnixStream;

        use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslStream};

        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut certificate = openssl::x509::X509::builder().unwrap();
        certificate.set_not_before(&openssl::asn1::Asn1Time::days_from_now(0).unwrap()).unwrap();
        certificate.set_not_after(&openssl::asn1::Asn1Time::days_from_now(1).unwrap()).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.sign(&key, openssl::hash::MessageDigest::sha256()).unwrap();
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        builder.set_private_key(&key).unwrap();
        builder.set_certificate(&certificate.build()).unwrap();
        builder.set_num_tickets(50).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = SslStream::new(Ssl::new(&builder.build()).unwrap(), far).unwrap();
            stream.accept().unwrap();
            stream.write_all(b"x").unwrap();
            stream
        });
        let mut stream = Stream::new(&Context::client().unwrap(), near).unwrap();
        while let Err(interrupted) = stream.connect() {
            assert!(matches!(interrupted, Interrupted::WantsBytes), "{interrupted:?}");
            std::thread::yield_now();
        }
        // All is there: fifty session tickets, and a byte behind them.
        let _server = server.join().unwrap();
        let mut agains = 0;
        let read = loop {
            match stream.read(&mut [0; 9]) {
                Err(Interrupted::Again) => agains += 1,
                read => break read,
            }
        };
        assert_eq!((read.unwrap(), agains), (1, 50));
        assert!(matches!(stream.read(&mut [0; 9]), Err(Interrupted::WantsBytes)), "the socket is empty");
    }
}
