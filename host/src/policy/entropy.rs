//! WASI's randomness and its wall clock: wasmtime-wasi's own, but for the calls of a comparison,
//! which the tape answers.

use rand::{Rng, RngExt};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::{self, Datetime};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::state::State;
use super::tape::Clock;
use super::wasi_context::MAX_RANDOM;

impl State {
    fn taped_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_RANDOM {
            return Err(wasmtime::format_err!(
                "{length} random bytes at once; the limit is {MAX_RANDOM}"
            ));
        }
        Ok((&mut self.rng)
            .random_iter()
            .take(length as usize)
            .collect())
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        match self.tape {
            None => random::Host::get_random_bytes(self.ctx().ctx.random(), length),
            Some(_) => self.taped_bytes(length),
        }
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        match self.tape {
            None => random::Host::get_random_u64(self.ctx().ctx.random()),
            Some(_) => Ok(self.rng.next_u64()),
        }
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        match self.tape {
            None => insecure::Host::get_insecure_random_bytes(self.ctx().ctx.random(), length),
            Some(_) => self.taped_bytes(length),
        }
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        match self.tape {
            None => insecure::Host::get_insecure_random_u64(self.ctx().ctx.random()),
            Some(_) => Ok(self.rng.next_u64()),
        }
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        match self.tape {
            None => insecure_seed::Host::insecure_seed(self.ctx().ctx.random()),
            Some(_) => Ok((self.rng.next_u64(), self.rng.next_u64())),
        }
    }
}

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<Datetime> {
        let now = wall_clock::Host::now(&mut self.clocks())?;
        if self.tape.is_none() {
            return Ok(now);
        }
        // As one number, so that the two parts are of one reading; microseconds reach far beyond
        // any date.
        let micros = now
            .seconds
            .saturating_mul(1_000_000)
            .saturating_add(u64::from(now.nanoseconds / 1_000));
        let reading = self.reading(Clock::WasiWall, micros);
        Ok(Datetime {
            seconds: reading / 1_000_000,
            nanoseconds: (reading % 1_000_000) as u32 * 1_000,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<Datetime> {
        wall_clock::Host::resolution(&mut self.clocks())
    }
}
