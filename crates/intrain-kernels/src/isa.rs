//! Instruction sets, and the choice of a kernel for one. First stop of every operation.
//!
//! Invariant: a kernel runs only where each CPU feature that it enables was found at run time.

/// An instruction set that kernels are written for, weakest first. Chosen by the caller, never by global state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Portable code, the meaning of every operation.
    Reference,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI.
    Avx512Vnni,
}

impl Isa {
    /// Every instruction set, weakest first.
    pub const ALL: [Self; 3] = [Self::Reference, Self::Avx2, Self::Avx512Vnni];

    /// The instruction sets that this CPU has, weakest first; `Reference` is always among them.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The strongest instruction set that this CPU has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rfind(|isa| isa.is_available()).unwrap_or(Self::Reference)
    }

    /// Whether this CPU, and its operating system, has every feature that kernels of this set use.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Reference => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512Vnni => false,
        }
    }

    /// The name in logs, checkpoints and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512vnni",
        }
    }

    /// The instruction set of this name, whether or not this CPU has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }
}

/// One way to compute an operation: a row of its table `KERNELS`, which lists the best first and `Reference` last.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<Run> {
    /// What the CPU must have.
    pub isa: Isa,
    /// As in logs, benches and tests.
    pub name: &'static str,
    /// The function, unsafe to call because it demands the instruction set and the checks of its operation.
    pub run: Run,
}

/// The best kernel of a table that needs no more than `isa`.
///
/// # Panics
/// If this CPU lacks `isa`: callers choose from [`Isa::available`].
pub(crate) fn choose<Run>(kernels: &[Kernel<Run>], isa: Isa) -> &Kernel<Run> {
    assert!(isa.is_available(), "this CPU lacks {}; choose one of {:?}", isa.name(), Isa::available());
    kernels.iter().find(|kernel| kernel.isa <= isa).expect("every table ends with the reference")
}

#[cfg(test)]
mod tests {
    use super::Isa;

    #[test]
    fn names_round_trip_and_the_best_is_available() {
        for isa in Isa::ALL {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
        }
        assert_eq!(Isa::from_name("AVX2"), None);
        assert_eq!(Isa::available().last(), Some(&Isa::best()));
        assert_eq!(Isa::available().first(), Some(&Isa::Reference));
    }
}
