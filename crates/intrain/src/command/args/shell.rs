//! What stands behind `intrain completions` and `intrain man`.

use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell reads them
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The words of a command, such as `recipe show` [default: the program]
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
