//! The parts that a machine may be built in.

/// What a part has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Name, as in a machine's file.
    pub name: &'static str,
    /// What its multipliers are called.
    pub multipliers: &'static str,
    /// Multipliers.
    pub dsp: usize,
    /// Look-up tables.
    pub lut: usize,
    /// Flip-flops.
    pub ff: usize,
    /// Block memories of 36 Kbit.
    pub bram: usize,
}

const fn xc7(name: &'static str, dsp: usize, lut: usize, bram: usize) -> Device {
    Device { name, multipliers: "DSP slices", dsp, lut, ff: 2 * lut, bram }
}

/// A block of an ECP5 has 18 Kbit.
const fn ecp5(name: &'static str, dsp: usize, lut: usize, blocks: usize) -> Device {
    Device { name, multipliers: "18 x 18 multipliers", dsp, lut, ff: lut, bram: blocks / 2 }
}

/// All parts: Xilinx DS180 (7 series) and Lattice FPGA-DS-02012 (ECP5).
pub const DEVICES: [Device; 7] = [
    xc7("xc7a100t", 240, 63_400, 135),
    xc7("xc7a200t", 740, 134_600, 365),
    xc7("xc7k325t", 840, 203_800, 445),
    xc7("xc7k410t", 1540, 254_200, 795),
    ecp5("ecp5-25f", 28, 24_288, 56),
    ecp5("ecp5-45f", 72, 43_848, 108),
    ecp5("ecp5-85f", 156, 83_640, 208),
];

/// The part of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Device> {
    DEVICES.iter().find(|device| device.name == name)
}

/// The names of all parts.
#[must_use]
pub fn names() -> String {
    DEVICES.map(|device| device.name).join(", ")
}
