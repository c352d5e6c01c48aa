//! Errors and warnings as data (severity, span, message, help, what stock does), and their rendering.
