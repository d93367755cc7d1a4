//! Recipes: which quantizer each role of a tensor has.
