//! What wakes up by itself: look, decide through one pure function, act. A loop is told nothing and is safe to repeat,
//! also in two processes at once.

pub mod rescuer;
