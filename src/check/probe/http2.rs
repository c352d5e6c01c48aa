//! One exchange over HTTP/2: `@keepalived-rs http2` and `grpc_health`, which stock has not. RFC 9113.
//!
//! The crate `h2` does frames, HPACK and flow control; here are what is asked, what of the answer counts, and how much a
//! server may make us do. An answer ends with its stream, so no connection is waited out as over HTTP/1, and it must be
//! there within the timeout of the check. Memory: one window of body and one header list, both stated to the server, and what
//! `Sips` lets in at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, TE, USER_AGENT};
use http::{Method, Request, Uri, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::time::{Instant, timeout_at};

use super::connect::errno;
use super::grpc::{self, Fields, HealthAnswer};
use super::http_response::HttpResponse;
use crate::check::{Failure, Http2Fault, Unhealthy};

/// Bytes of body that may be under way, RFC 9113 §6.9.2: the default.
const WINDOW: u32 = 65_535;

/// Bytes of headers, counted as in RFC 9113 §6.5.2.
const HEADER_LIST: u32 = 16 << 10;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// In place of the Host header.
    pub host: &'a str,
    /// Of the url.
    pub path: &'a str,
    /// The service whose health is asked over gRPC, if that is the question.
    pub health_of: Option<&'a str>,
}

/// What came back: the answer so far as digest, pattern and status need it, and the health if that was asked.
pub type Told = (HttpResponse, Option<Result<(), Unhealthy>>);

/// Asks on a fresh connection and hears the answer to its end, which must come before `deadline`.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    question: &Question<'_>,
    response: HttpResponse,
    deadline: Instant,
) -> Result<Told, Failure> {
    let request = question.request()?;
    let signs = Arc::new(Signs::default());
    let stream = Sips { stream: stream.take(SIP), signs: Arc::clone(&signs) };
    let talk = async {
        let (sender, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADER_LIST)
            .handshake::<_, Bytes>(stream)
            .await?;
        let exchange = exchange(sender, request, question.body(), response);
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            told = &mut exchange => {
                // Says goodbye; what cannot be sent at once is not sent.
                std::future::poll_fn(|context| {
                    let _ = Pin::new(&mut connection).poll(context);
                    Poll::Ready(())
                })
                .await;
                told
            }
            ended = &mut connection => {
                // Only when it is gone do its streams know that nothing comes any more.
                drop(connection);
                match (exchange.await, ended) {
                    // What the connection ended of says more than what its streams are told.
                    (Err(_), Err(error)) => Err(error),
                    (told, _) => told,
                }
            }
        }
    };
    match timeout_at(deadline, talk).await {
        Ok(told) => told.map_err(|error| failure(&error, &signs)),
        Err(_) => Err(Failure::ReadTimeout { received: signs.begun.load(Ordering::Relaxed) }),
    }
}

impl Question<'_> {
    fn request(&self) -> Result<Request<()>, Failure> {
        let unsayable =
            |error: http::Error| Failure::Http2(Http2Fault::Unsayable { what: error.to_string() });
        let (method, path) = match self.health_of {
            Some(_) => (Method::POST, grpc::path(self.path)),
            None => (Method::GET, self.path),
        };
        let uri = Uri::builder().scheme(self.scheme).authority(self.host).path_and_query(path);
        let request = Request::builder()
            .method(method)
            .uri(uri.build().map_err(unsayable)?)
            .version(Version::HTTP_2)
            .header(USER_AGENT, "KeepAliveClient");
        let request = match self.health_of {
            Some(_) => request.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers"),
            None => request,
        };
        request.body(()).map_err(unsayable)
    }

    fn body(&self) -> Option<Bytes> {
        self.health_of.map(|service| grpc::question(service).into())
    }
}

async fn exchange(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Option<Bytes>,
    mut response: HttpResponse,
) -> Result<Told, h2::Error> {
    let mut sender = sender.ready().await?;
    let mut health = body.is_some().then(HealthAnswer::default);
    let (answer, mut stream) = sender.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(body, true)?;
    }
    let (head, mut body) = answer.await?.into_parts();
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    response.head(head.status.as_u16(), length);
    if let Some(health) = &mut health {
        health.head(fields(&head.headers));
    }
    while let Some(data) = body.data().await {
        let data = data?;
        if let Some(health) = &mut health {
            health.feed(&data);
        }
        for piece in data.chunks(response.room().unwrap_or(usize::MAX).max(1)) {
            // The header is complete: nothing can be too long for it.
            let _ = response.feed(piece);
            if response.is_searched() {
                tokio::task::yield_now().await;
            }
        }
        body.flow_control().release_capacity(data.len())?;
    }
    if let (Some(trailers), Some(health)) = (body.trailers().await?, &mut health) {
        health.tail(fields(&trailers));
    }
    Ok((response, health.map(HealthAnswer::end)))
}

fn fields(headers: &HeaderMap) -> Fields<'_> {
    let field = |name: HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
    Fields {
        content_type: field(CONTENT_TYPE),
        status: field(HeaderName::from_static("grpc-status")),
        message: field(HeaderName::from_static("grpc-message")),
    }
}

fn failure(error: &h2::Error, signs: &Signs) -> Failure {
    if signs.speaks_http1.load(Ordering::Relaxed) {
        return Failure::Http2(Http2Fault::SpeaksHttp1);
    }
    let code = error.reason().map_or(0, u32::from);
    Failure::Http2(match error.get_io() {
        Some(error) if error.raw_os_error().is_some() => return Failure::Read { errno: errno(error) },
        Some(_) => Http2Fault::Left,
        None if error.is_go_away() && error.is_remote() => Http2Fault::Goodbye { code },
        None if error.is_reset() && error.is_remote() => Http2Fault::Reset { code },
        None => Http2Fault::Broken { code },
    })
}

/// What is seen of the bytes themselves.
#[derive(Debug, Default)]
struct Signs {
    /// Anything at all.
    begun: AtomicBool,
    /// The first of them are those of an HTTP/1 answer.
    speaks_http1: AtomicBool,
}

/// Bytes that are read until the others have their turn, and what was read is looked at. A frame may have ten of them and be a
/// header of hundreds of fields.
const SIP: u64 = 8 << 10;

/// What a read counts for at least, in bytes: one that brings a single byte costs as much as this.
const LEAST: u64 = 1 << 10;

/// A stream that is read in sips: else thousands of frames could be queued before their reader sees one.
struct Sips<S> {
    /// What may still be read of this sip.
    stream: Take<S>,
    signs: Arc<Signs>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Sips<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.stream.limit() == 0 {
            this.stream.set_limit(SIP);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (before, room) = (into.filled().len(), this.stream.limit());
        let read = Pin::new(&mut this.stream).poll_read(context, into);
        this.stream.set_limit(match read {
            Poll::Pending => SIP,
            Poll::Ready(_) => this.stream.limit().min(room.saturating_sub(LEAST)),
        });
        ready!(read)?;
        let fresh = &into.filled()[before..];
        if !fresh.is_empty() && !this.signs.begun.swap(true, Ordering::Relaxed) {
            this.signs.speaks_http1.store(fresh.starts_with(b"HTTP/"), Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sips<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
