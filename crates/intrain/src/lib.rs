//! The command line, and the library that re-exports the parts.
