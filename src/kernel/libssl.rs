//! The host's libssl, loaded when the first TLS context is built.
//!
//! Linked, it would cost every process of the daemon half a megabyte (its tables are relocated, and so copied, at the
//! start) and some milliseconds; the prober alone needs it, and only with TLS checks. [`super::tls`] is its one user.

use std::ffi::{CStr, c_char, c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// An object of the library's behind a pointer that only the library reads.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* #[repr(C)] pub(super) struct $name { _opaque: [u8; 0] })*
    };
}

opaque! {
    /// `SSL_METHOD`
    Method
    /// `SSL_CTX`
    Ctx
    /// `SSL`
    Ssl
    /// `X509`
    Certificate
    /// `X509_STORE`
    Store
    /// `X509_VERIFY_PARAM`
    VerifyParameters
    /// `EVP_PKEY`
    Key
    /// `BIO`
    Bio
}

/// `pem_password_cb`: buffer, its length, 1 for writing, what the caller gave.
pub(super) type AskPassword = unsafe extern "C" fn(*mut c_char, c_int, c_int, *mut c_void) -> c_int;

/// Functions by their names in the library, and a loader of all of them.
macro_rules! functions {
    ($(fn $field:ident = $name:literal ($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Functions of libssl, and of libcrypto, on which it depends.
        pub(super) struct Library {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Library {
            fn of(handle: NonNull<c_void>) -> Result<Self, String> {
                Ok(Self {
                    $($field: {
                        let symbol = symbol(handle, $name)?;
                        // SAFETY: the library's function of this name has this signature, in all releases of its
                        // soname: <openssl/ssl.h>, <openssl/x509.h>, <openssl/pem.h>, <openssl/err.h>.
                        unsafe {
                            std::mem::transmute::<
                                NonNull<c_void>,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(symbol)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    fn init = c"OPENSSL_init_ssl" (u64, *const c_void) -> c_int;
    fn client_method = c"TLS_client_method" () -> *const Method;

    fn ctx_new = c"SSL_CTX_new" (*const Method) -> *mut Ctx;
    fn ctx_free = c"SSL_CTX_free" (*mut Ctx);
    fn ctx_ctrl = c"SSL_CTX_ctrl" (*mut Ctx, c_int, c_long, *mut c_void) -> c_long;
    fn ctx_set_verify = c"SSL_CTX_set_verify" (*mut Ctx, c_int, *const c_void);
    fn ctx_set_default_verify_paths = c"SSL_CTX_set_default_verify_paths" (*mut Ctx) -> c_int;
    fn ctx_cert_store = c"SSL_CTX_get_cert_store" (*const Ctx) -> *mut Store;
    fn ctx_use_certificate = c"SSL_CTX_use_certificate" (*mut Ctx, *mut Certificate) -> c_int;
    fn ctx_use_key = c"SSL_CTX_use_PrivateKey" (*mut Ctx, *mut Key) -> c_int;
    fn ctx_check_key = c"SSL_CTX_check_private_key" (*const Ctx) -> c_int;

    fn ssl_new = c"SSL_new" (*mut Ctx) -> *mut Ssl;
    fn ssl_free = c"SSL_free" (*mut Ssl);
    fn ssl_ctrl = c"SSL_ctrl" (*mut Ssl, c_int, c_long, *mut c_void) -> c_long;
    fn ssl_parameters = c"SSL_get0_param" (*mut Ssl) -> *mut VerifyParameters;
    fn ssl_set_fd = c"SSL_set_fd" (*mut Ssl, c_int) -> c_int;
    fn ssl_connect = c"SSL_connect" (*mut Ssl) -> c_int;
    fn ssl_read = c"SSL_read_ex" (*mut Ssl, *mut c_void, usize, *mut usize) -> c_int;
    fn ssl_write = c"SSL_write_ex" (*mut Ssl, *const c_void, usize, *mut usize) -> c_int;
    fn ssl_shutdown = c"SSL_shutdown" (*mut Ssl) -> c_int;
    fn ssl_error = c"SSL_get_error" (*const Ssl, c_int) -> c_int;
    fn ssl_set_alpn = c"SSL_set_alpn_protos" (*mut Ssl, *const c_uchar, c_uint) -> c_int;
    fn ssl_alpn = c"SSL_get0_alpn_selected" (*const Ssl, *mut *const c_uchar, *mut c_uint);
    fn ssl_verify_result = c"SSL_get_verify_result" (*const Ssl) -> c_long;

    fn expect_host = c"X509_VERIFY_PARAM_set1_host" (*mut VerifyParameters, *const c_char, usize) -> c_int;
    fn expect_ip = c"X509_VERIFY_PARAM_set1_ip" (*mut VerifyParameters, *const c_uchar, usize) -> c_int;
    fn verify_words = c"X509_verify_cert_error_string" (c_long) -> *const c_char;
    fn store_add = c"X509_STORE_add_cert" (*mut Store, *mut Certificate) -> c_int;
    fn certificate_free = c"X509_free" (*mut Certificate);
    fn key_free = c"EVP_PKEY_free" (*mut Key);

    fn bio_of = c"BIO_new_mem_buf" (*const c_void, c_int) -> *mut Bio;
    fn bio_free = c"BIO_free" (*mut Bio) -> c_int;
    fn read_certificate = c"PEM_read_bio_X509"
        (*mut Bio, *mut *mut Certificate, Option<AskPassword>, *mut c_void) -> *mut Certificate;
    fn read_key = c"PEM_read_bio_PrivateKey"
        (*mut Bio, *mut *mut Key, Option<AskPassword>, *mut c_void) -> *mut Key;

    fn clear_errors = c"ERR_clear_error" ();
    fn first_error = c"ERR_get_error" () -> c_ulong;
    fn last_error = c"ERR_peek_last_error" () -> c_ulong;
    fn error_reason = c"ERR_reason_error_string" (c_ulong) -> *const c_char;
}

/// The name under which the host has it: that of OpenSSL 3.
const SONAME: &CStr = c"libssl.so.3";

/// `OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS`: reasons in words.
const WORDS: u64 = 0x0020_0000 | 0x0000_0002;

/// The library, loaded at the first call and never unloaded. Says why when it cannot be had.
pub(super) fn library() -> Result<&'static Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Library, String> {
    // SAFETY: a library of the system, from the places that the loader of every program looks at; its constructors
    // need nothing of us.
    let handle = unsafe { libc::dlopen(SONAME.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    let library = Library::of(NonNull::new(handle).ok_or_else(loader_words)?)?;
    // SAFETY: may be called at any time; null settings are the host's own.
    if unsafe { (library.init)(WORDS, std::ptr::null()) } != 1 {
        return Err("libssl cannot be initialised".to_owned());
    }
    Ok(library)
}

/// A function of the library or of one that it depends on.
fn symbol(handle: NonNull<c_void>, name: &CStr) -> Result<NonNull<c_void>, String> {
    // SAFETY: an open handle and a C string.
    NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name.as_ptr()) }).ok_or_else(loader_words)
}

/// What the loader says of its last failure.
fn loader_words() -> String {
    // SAFETY: null or a C string that stands until the next call of the loader in this thread.
    let words = unsafe { libc::dlerror() };
    // SAFETY: as above.
    NonNull::new(words).map_or_else(String::new, |words| text(unsafe { CStr::from_ptr(words.as_ptr()) }))
}

/// A message of the library.
pub(super) fn text(words: &CStr) -> String {
    words.to_string_lossy().into_owned()
}
