//! What can go wrong over HTTP/2 and in the gRPC health protocol, as data, with the words for the log. Pure.
//!
//! Stock has neither, so these words are ours alone (`@keepalived-rs http2` and `grpc_health`).

use serde::{Deserialize, Serialize};

/// Why an exchange over HTTP/2 came to no answer (RFC 9113).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Http2Fault {
    /// The TLS handshake agreed on something else, or on nothing (§3.2).
    #[error("the server does not offer h2 in the TLS handshake")]
    NotOffered,
    /// It answered in the words of HTTP/1.
    #[error("the server speaks HTTP/1")]
    SpeaksHttp1,
    /// GOAWAY (§6.8).
    #[error("the server said goodbye: {}", code_name(*code))]
    Goodbye {
        /// §7.
        code: u32,
    },
    /// `RST_STREAM` (§6.4).
    #[error("the server reset the stream: {}", code_name(*code))]
    Reset {
        /// §7.
        code: u32,
    },
    /// What it sent is no HTTP/2, or more than a check takes.
    #[error("the server breaks the protocol: {}", code_name(*code))]
    Broken {
        /// What we would tell it, §7.
        code: u32,
    },
    /// The connection ended before the answer did.
    #[error("the server left before the end of its answer")]
    Left,
    /// Path or host cannot be said over HTTP/2.
    #[error("the request cannot be made: {what}")]
    Unsayable {
        /// Why.
        what: String,
    },
}

/// Why a gRPC server is not healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unhealthy {
    /// `HealthCheckResponse.status` is another than SERVING.
    #[error("the service is {}", serving_name(*status))]
    Status {
        /// As sent; 0 is also that of an empty message.
        status: u64,
    },
    /// The call ended with an error: grpc-status.
    #[error("{}", refused(*code, message))]
    Refused {
        /// 1..=16 in today's gRPC.
        code: u32,
        /// grpc-message, fit for a log.
        message: String,
    },
    /// No grpc-status came, or none that is a number.
    #[error("the answer ended without a grpc-status")]
    NoStatus,
    /// Another content type.
    #[error("the answer is {}, not application/grpc", if content_type.is_empty() { "untyped" } else { content_type })]
    NotGrpc {
        /// Fit for a log.
        content_type: String,
    },
    /// The message.
    #[error("the answer cannot be read: {what}")]
    Malformed {
        /// Why.
        what: String,
    },
}

/// RFC 9113 §7.
fn code_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("error {code}"), |name| (*name).to_owned())
}

/// `HealthCheckResponse.ServingStatus`.
fn serving_name(status: u64) -> String {
    match status {
        0 => "in state UNKNOWN".to_owned(),
        1 => "SERVING".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "unknown to the server".to_owned(),
        other => format!("in state {other}"),
    }
}

/// The codes of gRPC by their names, and the server's own words.
fn refused(code: u32, message: &str) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let colon = if message.is_empty() { "" } else { ": " };
    format!("grpc-status {code}{name}{colon}{message}")
}
