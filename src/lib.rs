pub mod clock;
pub mod limits;
pub mod logger;
pub mod options;
pub mod queue;
pub mod sync;
pub mod wire;
