//! The one place where weights change and where step and epoch exist.
