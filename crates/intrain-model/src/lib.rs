//! A network at rest: layers, shapes, presets, model files.
