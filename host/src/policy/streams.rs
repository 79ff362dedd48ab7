//! `wasi:io/streams`, which never waits here: standard output and error are always ready, and
//! standard input is always at its end.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sync::io::streams;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult, subscribe,
};

use super::output::CHUNK;
use super::wasi::UnwaitingView;

impl streams::Host for UnwaitingView<'_> {
    fn convert_stream_error(
        &mut self,
        error: StreamError,
    ) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Closed => Ok(streams::StreamError::Closed),
            StreamError::LastOperationFailed(e) => Ok(streams::StreamError::LastOperationFailed(
                self.table.push(e)?,
            )),
            StreamError::Trap(e) => Err(e),
        }
    }
}

type Output = Resource<DynOutputStream>;
type Input = Resource<DynInputStream>;

impl streams::HostOutputStream for UnwaitingView<'_> {
    fn check_write(&mut self, stream: Output) -> StreamResult<u64> {
        Ok(self.table.get_mut(&stream)?.check_write()? as u64)
    }

    fn write(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        if bytes.len() > CHUNK {
            return Err(StreamError::trap("more bytes than `check-write` allowed"));
        }
        self.table.get_mut(&stream)?.write(bytes.into())
    }

    fn blocking_write_and_flush(&mut self, stream: Output, bytes: Vec<u8>) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn flush(&mut self, stream: Output) -> StreamResult<()> {
        self.table.get_mut(&stream)?.flush()
    }

    fn blocking_flush(&mut self, stream: Output) -> StreamResult<()> {
        self.flush(stream)
    }

    fn subscribe(&mut self, stream: Output) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        if len > CHUNK as u64 {
            return Err(StreamError::trap("more bytes than `check-write` allowed"));
        }
        self.table
            .get_mut(&stream)?
            .write(vec![0; len as usize].into())
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Output, len: u64) -> StreamResult<()> {
        self.write_zeroes(stream, len)
    }

    fn splice(&mut self, to: Output, from: Input, len: u64) -> StreamResult<u64> {
        let bytes = self.table.get_mut(&from)?.read(at_most(len))?;
        let count = bytes.len() as u64;
        self.table.get_mut(&to)?.write(bytes)?;
        Ok(count)
    }

    fn blocking_splice(&mut self, to: Output, from: Input, len: u64) -> StreamResult<u64> {
        self.splice(to, from, len)
    }

    fn drop(&mut self, stream: Output) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl streams::HostInputStream for UnwaitingView<'_> {
    fn read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        Ok(self.table.get_mut(&stream)?.read(at_most(len))?.into())
    }

    fn blocking_read(&mut self, stream: Input, len: u64) -> StreamResult<Vec<u8>> {
        self.read(stream, len)
    }

    fn skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        Ok(self.table.get_mut(&stream)?.skip(at_most(len))? as u64)
    }

    fn blocking_skip(&mut self, stream: Input, len: u64) -> StreamResult<u64> {
        self.skip(stream, len)
    }

    fn subscribe(&mut self, stream: Input) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Input) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

fn at_most(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX).min(CHUNK)
}
