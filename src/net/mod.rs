//! Networks that guests' network devices are linked to.

mod passt;
mod scatter;
mod stream;
mod tap;
mod tun;

pub use passt::{Forward, PASST_MTU, UserNetwork};
pub use stream::FrameStream;
pub use tap::{Tap, TapName, TapQueue};
