//! The line-mode console's formats: message data blocks to the operator, GDS vectors with the operator's commands.

use super::ebcdic;
use super::sccb::{Response, u16_at};

/// Bytes of a message data block's header: length, type, tag, revision.
const MDB_HEADER: usize = 12;
/// Bytes that every object of a block begins with: length and type.
const OBJECT_HEADER: usize = 4;
/// The type of a message text object. Others, such as the general object with its time stamps, are for a log.
const MESSAGE_TEXT: u16 = 4;
/// Bytes of a message text object before its text: length, type, line type, alarm, reserved.
const TEXT_OFFSET: usize = 10;

/// The longest command: the length of the subvectors around it has 8 bits.
pub(super) const MAX_COMMAND: usize = 255 - 4;
/// Bytes of the vectors around a command.
pub(super) const COMMAND_OVERHEAD: usize = 3 * 4 + 2 * 2;

/// The lines of a message event, `event` being what follows its event buffer's header.
pub(super) fn lines(event: &[u8]) -> Result<Vec<String>, Response> {
    let length = u16_at(event, 0).map_or(0, usize::from);
    let mut objects = event.get(MDB_HEADER..length).ok_or(Response::InconsistentLengths)?;
    let mut lines = Vec::new();
    while !objects.is_empty() {
        let length = u16_at(objects, 0).map_or(0, usize::from);
        if length < OBJECT_HEADER || length > objects.len() {
            return Err(Response::InconsistentLengths);
        }
        let (object, rest) = objects.split_at(length);
        if u16_at(object, 2) == Some(MESSAGE_TEXT) {
            let text = object.get(TEXT_OFFSET..).ok_or(Response::InconsistentLengths)?;
            lines.push(ebcdic::decode(text));
        }
        objects = rest;
    }
    Ok(lines)
}

/// An operator's command as vectors: MDS message unit, CP message unit, text command, self-defining text message, text.
/// `command` has at most [`MAX_COMMAND`] bytes.
pub(super) fn command(command: &[u8]) -> Vec<u8> {
    let mut vectors = ebcdic::encode(command);
    for key in [0x30, 0x31] {
        let length = u8::try_from(vectors.len() + 2).unwrap_or(u8::MAX);
        vectors.splice(0..0, [length, key]);
    }
    for id in [0x1320_u16, 0x1212, 0x1310] {
        let length = u16::try_from(vectors.len() + 4).unwrap_or(u16::MAX);
        vectors.splice(0..0, length.to_be_bytes().into_iter().chain(id.to_be_bytes()));
    }
    vectors
}
