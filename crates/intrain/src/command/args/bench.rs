//! The command that measures speed.

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Works or groups of works [default: all]
    #[arg(value_name = "GROUP|NAME")]
    pub(crate) names: Vec<String>,
    /// Threads [default: one per CPU]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set of the kernels [default: the best that this CPU has]
    #[arg(long, value_name = "K", value_parser = ["reference", "avx2", "avx512vnni"])]
    pub(crate) kernel: Option<String>,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 7, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) repeat: u16,
}
