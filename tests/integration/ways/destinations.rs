//! A policy decides about destinations of the forward proxy.
