//! A folder for what is compiled and asked.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

/// A folder that goes with its owner.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("intrain-verify-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing is left to do about a folder that does not go.
        let _ = fs::remove_dir_all(&self.0);
    }
}
