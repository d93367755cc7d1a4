//! What a library does where a format leaves a choice.

use intrain_num::block::{Coding, Edges, NvRule, ScaleRule};
use intrain_num::minifloat::FloatOverflow;

/// A library's choices; formats that say a rule of their own keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// As on the command line.
    pub name: &'static str,
    /// The rule of E8M0 scales.
    pub rule: ScaleRule,
    /// Their edges.
    pub edges: Edges,
    /// The rule of NVFP4.
    pub nvfp4: NvRule,
    /// What a float without scale does beyond its largest value.
    pub overflow: FloatOverflow,
}

/// The profiles.
pub const PROFILES: [Profile; 6] = [
    profile("ocp", ScaleRule::Floor, Edges::Ocp, NvRule::Te, FloatOverflow::SatFinite),
    profile(
        "torchao@0.18",
        ScaleRule::Floor,
        Edges::Torchao018,
        NvRule::TorchaoTwoLevel,
        FloatOverflow::SatFinite,
    ),
    profile(
        "torchao@main",
        ScaleRule::Floor,
        Edges::TorchaoMain,
        NvRule::TorchaoTwoLevel,
        FloatOverflow::SatFinite,
    ),
    profile("te", ScaleRule::Rceil, Edges::Te, NvRule::Te, FloatOverflow::SatFinite),
    profile("quark", ScaleRule::Even, Edges::Quark, NvRule::Te, FloatOverflow::SatFinite),
    profile("p3109", ScaleRule::Floor, Edges::Ocp, NvRule::Te, FloatOverflow::SatNone),
];

const fn profile(
    name: &'static str,
    rule: ScaleRule,
    edges: Edges,
    nvfp4: NvRule,
    overflow: FloatOverflow,
) -> Profile {
    Profile { name, rule, edges, nvfp4, overflow }
}

impl Profile {
    /// The profile of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }

    /// A coding with this profile's choices; `rule` is whether the coding's own rule stays.
    #[must_use]
    pub const fn apply(&self, coding: Coding, keeps_rule: bool) -> Coding {
        match coding {
            Coding::Plain { format, .. } => Coding::Plain { format, overflow: self.overflow },
            Coding::Scaled { element, rule, extent, .. } => {
                let rule = if keeps_rule { rule } else { self.rule };
                Coding::Scaled { element, rule, edges: self.edges, extent }
            }
            Coding::Nvfp4 { rule, extent } => {
                Coding::Nvfp4 { rule: if keeps_rule { rule } else { self.nvfp4 }, extent }
            }
        }
    }
}
