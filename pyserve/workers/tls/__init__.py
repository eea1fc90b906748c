"""TLS without a socket, certificates, and what applications are told of it."""
