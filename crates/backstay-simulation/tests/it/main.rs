//! The control plane's promises, in all orders of a model and on simulated time.

mod model;
