use rand::Rng;

use super::*;

/// Recordings hold seeds and no draws: what a seed means must stay as docs/recording.md says.
#[test]
fn a_seed_always_means_the_same_draws() {
    fn expected(seed: u64) -> impl Iterator<Item = u64> {
        let mut mixed = seed;
        let mut s = [0u64; 4].map(|_| {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = mixed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        std::iter::repeat_with(move || {
            let drawn = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
            let t = s[1] << 17;
            s[2] ^= s[0];
            s[3] ^= s[1];
            s[1] ^= s[2];
            s[0] ^= s[3];
            s[2] ^= t;
            s[3] = s[3].rotate_left(45);
            drawn
        })
    }
    for seed in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
        let mut rng = SmallRng::seed_from_u64(seed);
        for (n, drawn) in expected(seed).take(40).enumerate() {
            // A draw of 32 bits is the upper half of one of 64.
            let same = if n % 2 == 0 {
                rng.next_u64() == drawn
            } else {
                u64::from(rng.next_u32()) == drawn >> 32
            };
            assert!(same, "draw {n} of seed {seed}");
        }
    }
    let mut rng = SmallRng::seed_from_u64(0);
    assert_eq!(rng.next_u64(), 5_987_356_902_031_041_503);
}

#[test]
fn a_recorded_call_reads_the_same_and_then_finds_the_clocks_stopped() {
    let mut tape = Tape::recording(7);
    tape.began = Some((100, 5));
    tape.read(Clock::Monotonic, 150);
    tape.read(Clock::Monotonic, 160);
    let text = serde_json::to_string(&tape.record()).unwrap();
    let mut again = Tape::recorded(&serde_json::from_str(&text).unwrap());
    assert_eq!(again.seed, 7);
    let read = [
        Clock::Monotonic,
        Clock::Monotonic,
        Clock::Monotonic,
        Clock::Wasi,
        Clock::Unix,
        Clock::WasiWall,
    ]
    .map(|clock| again.read(clock, 999));
    assert_eq!(read, [150, 160, 160, 160, 5, 5_000]);
}

#[test]
fn the_second_run_repeats_the_readings_of_the_first_and_then_continues() {
    let mut tape = Tape::new(1);
    assert_eq!(
        [
            tape.read(Clock::Unix, 5),
            tape.read(Clock::Unix, 6),
            tape.read(Clock::Wasi, 9)
        ],
        [5, 6, 9]
    );
    tape.unix.given = 0;
    assert_eq!(
        [
            tape.read(Clock::Unix, 7),
            tape.read(Clock::Unix, 8),
            tape.read(Clock::Unix, 9)
        ],
        [5, 6, 9]
    );
}

#[test]
fn a_script_gives_its_draws_and_stops_the_clocks() {
    let mut tape = Tape::scripted(Script {
        draws: vec![2, 7, 9, 5],
        unix: Some(3),
        ..Script::default()
    });
    assert_eq!((tape.draw_below(3), tape.draw_bits()), (Some(2), Some(7)));
    assert_eq!((tape.complaint(), tape.draws_left()), (None, 2));
    assert_eq!(tape.draw_below(9), None, "9 is not below 9");
    assert!(tape.complaint().unwrap().contains("draw 9 is not below 9"));
    assert_eq!((tape.draw_below(6), tape.draw_below(6)), (Some(5), None));
    let read =
        [Clock::Unix, Clock::WasiWall, Clock::Monotonic].map(|clock| tape.read(clock, 1_000_000));
    assert_eq!(read, [3, 3_000, 1_000_000]);
}

#[test]
fn a_guest_that_reads_on_and_on_costs_no_memory() {
    let mut tape = Tape::new(1);
    (0..100_000).for_each(|n| assert_eq!(tape.read(Clock::Monotonic, n), n));
    assert_eq!(tape.monotonic.kept.len(), READINGS);
}
