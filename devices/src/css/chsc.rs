//! CHANNEL SUBSYSTEM CALL: what a program asks of the channel subsystem by blocks of a page.
//!
//! IBM does not publish them. They are here as Linux builds and reads them (drivers/s390/cio/chsc.c).

use super::blocks::{Operand, half_at, word_at};

/// Bytes of a request that matter here: the header and three words.
pub const REQUEST_SIZE: usize = 16;
/// Size of the page that request and response share.
const PAGE: usize = 4096;

/// What is asked.
mod command {
    pub(super) const CHANNEL_PATH_DESCRIPTION: u16 = 0x0002;
    pub(super) const EVENT_INFORMATION: u16 = 0x000e;
    pub(super) const CHARACTERISTICS: u16 = 0x0010;
    pub(super) const DOMAIN_ATTRIBUTES: u16 = 0x0031;
}

/// How it is answered.
mod response {
    pub(super) const OK: u16 = 0x0001;
    pub(super) const INVALID_REQUEST: u16 = 0x0003;
    pub(super) const NOT_PROVIDED: u16 = 0x0004;
    pub(super) const NO_EVENT: u16 = 0x0005;
    pub(super) const INVALID_FORMAT: u16 = 0x0007;
    pub(super) const NO_IMAGE: u16 = 0x0008;
    pub(super) const UNKNOWN_FACILITY: u16 = 0x0101;
}

/// The one channel path: its identifier and, as the virtio specification asks for (VIRTIO 1.2, 4.3.1), its type.
pub const PATH: u8 = 0;
const PATH_TYPE: u8 = 0x32;

/// Where the response goes in the page, and its bytes.
pub type Response = (usize, Vec<u8>);

/// Answers a request.
///
/// # Errors
/// Its length is not one that a request can have.
pub fn call(request: &[u8; REQUEST_SIZE]) -> Result<Response, Operand> {
    let len = usize::from(half_at(request, 0));
    if !(REQUEST_SIZE..=PAGE - 8).contains(&len) || !len.is_multiple_of(8) {
        return Err(Operand);
    }
    let words = [word_at(request, 4), word_at(request, 8), word_at(request, 12)];
    let (code, parameter, data) = match half_at(request, 2) {
        command::CHANNEL_PATH_DESCRIPTION => path_description(len, words),
        command::EVENT_INFORMATION => (response::NO_EVENT, 0, Vec::new()),
        command::CHARACTERISTICS => characteristics(len, words),
        command::DOMAIN_ATTRIBUTES => domain_attributes(len, words),
        _ => (response::NOT_PROVIDED, 0, Vec::new()),
    };
    let mut bytes = Vec::with_capacity(8 + data.len());
    // The data of every response fit into the page.
    let size = u16::try_from(8 + data.len()).unwrap_or_default();
    bytes.extend(size.to_be_bytes());
    bytes.extend(code.to_be_bytes());
    bytes.extend(u32::to_be_bytes(parameter));
    bytes.extend(data);
    Ok((len, bytes))
}

/// A response code, a parameter, and data.
type Answer = (u16, u32, Vec<u8>);

const fn refuse(code: u16) -> Answer {
    (code, 0, Vec::new())
}

/// Store channel-path description: of those paths between a first and a last that there are.
fn path_description(len: usize, [first, last, zero]: [u32; 3]) -> Answer {
    const LONG: u32 = 0x1000_0000;
    const IMAGE_VALID: u32 = 0x2000_0000;
    const FORMAT: u32 = 0x0f00_0000;
    const IMAGE: u32 = 0x00ff_0000;
    const RESPONSE_FORMAT: u32 = 0x0f00;
    const RESERVED: u32 = 0xc000_f000;
    const VALID: u8 = 0x80;
    if len != REQUEST_SIZE || first & RESERVED != 0 || last & !0xff != 0 || zero != 0 {
        return refuse(response::INVALID_REQUEST);
    }
    if first & (FORMAT | RESPONSE_FORMAT & !0x0100) != 0 {
        return refuse(response::INVALID_FORMAT);
    }
    if first & IMAGE != 0 || first & IMAGE_VALID != 0 {
        return refuse(response::NO_IMAGE);
    }
    if first & 0xff > last {
        return refuse(response::INVALID_REQUEST);
    }
    let (format, size) = if first & LONG == 0 { (0, 8) } else { (1, 32) };
    let mut data = Vec::new();
    if first & 0xff == u32::from(PATH) {
        data.extend([VALID, 0, PATH_TYPE, PATH]);
        data.resize(size, 0);
    }
    (response::OK, format, data)
}

/// Store channel-subsystem characteristics: bits of the facilities that there are.
fn characteristics(len: usize, [what, zero1, zero2]: [u32; 3]) -> Answer {
    const FORMAT: u32 = 0x000f_0000;
    const IMAGE: u32 = 0x2000_ff00;
    const RESERVED: u32 = 0xdff0_00ff;
    const GENERAL: usize = 2040;
    const CALLS: usize = 2032;
    /// Bit 46 of the general characteristics: channel paths have long descriptions.
    const LONG_DESCRIPTIONS: (usize, u8) = (5, 0x02);
    if len != REQUEST_SIZE || what & RESERVED != 0 || zero1 != 0 || zero2 != 0 {
        return refuse(response::INVALID_REQUEST);
    }
    if what & FORMAT != 0 {
        return refuse(response::INVALID_FORMAT);
    }
    if what & IMAGE != 0 {
        return refuse(response::NO_IMAGE);
    }
    let mut data = vec![0; GENERAL + CALLS];
    let (byte, bit) = LONG_DESCRIPTIONS;
    data[byte] = bit;
    (response::OK, 0, data)
}

/// Set domain attributes: it enables facilities, of which there are none.
fn domain_attributes(len: usize, [what, ..]: [u32; 3]) -> Answer {
    const SIZE: usize = 0x400;
    const FORMAT: u32 = 0x0f00_0000;
    const RESERVED: u32 = 0xf0ff_0000;
    if len != SIZE || what & RESERVED != 0 {
        return refuse(response::INVALID_REQUEST);
    }
    if what & FORMAT != 0 {
        return refuse(response::INVALID_FORMAT);
    }
    refuse(response::UNKNOWN_FACILITY)
}
