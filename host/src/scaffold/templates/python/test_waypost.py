"""Tests of waypost.py, natively: `python3 -m unittest`."""

import unittest

import waypost


class Helpers(unittest.TestCase):
    def test_a_cookie_is_found_by_its_whole_name(self):
        for field, expected in [
            (None, None),
            (b"", None),
            (b"a=1", b"1"),
            (b"b=2; a=1; a=3", b"1"),
            (b'b=2;a="1"', b"1"),
            (b"aa=1; xa=2; A=3; a; x=a=1", None),
            (b'a="', b'"'),
            (b";;; ;a=b=c;", b"b=c"),
            (b"a=\xff", b"\xff"),
        ]:
            self.assertEqual(waypost.cookie(field, "a"), expected, field)

    def test_the_longest_network_counts(self):
        networks = waypost.Networks(
            {"0.0.0.0/0": "any", "10.7.0.0/16": "wide", "10.7.8.0/24": "narrow", "2001:db8::/32": "six", "10.7.8.9": "one"}
        )
        for address, expected in [
            ("192.0.2.1", "any"),
            ("10.7.1.1", "wide"),
            ("10.7.8.1", "narrow"),
            ("::ffff:10.7.8.1", "narrow"),
            ("10.7.8.9", "one"),
            ("2001:db8:1::", "six"),
            ("2001:db9::", None),
            ("unix", None),
        ]:
            self.assertEqual(networks.longest(address), expected, address)
        for wrong in ["", "192.0.2.0/33", "192.0.2.1/24", "example.com/8"]:
            with self.assertRaisesRegex(ValueError, "is no network"):
                waypost.Networks({wrong: 1})

    def test_hashes_are_those_of_other_languages(self):
        self.assertEqual(waypost.hash_of(b""), 0xf52a15e9a9b5e89b)
        self.assertEqual(waypost.hash_of(b"10.0.0.1:80", 7), 0x19626b873f54b46e)
        self.assertEqual(waypost.part(b"tenant-1", 1000), 510)
        seeds = [(n, waypost.hash_of(f"10.0.0.{n}:80".encode()), 1 + n % 2) for n in range(4)]
        self.assertEqual([waypost.rendezvous(b"key-%d" % n, seeds) for n in range(12)], [0, 2, 3, 1, 1, 0, 0, 1, 3, 3, 2, 0])

    def test_only_the_keys_of_a_backend_that_goes_move(self):
        seeds = [(n, waypost.hash_of(f"10.0.0.{n}:80".encode()), 1) for n in range(5)]
        keys = [b"%d" % n for n in range(1000)]
        homes = [waypost.rendezvous(key, seeds) for key in keys]
        for key, home in zip(keys, homes):
            left = waypost.rendezvous(key, [seed for seed in seeds if seed[0] != 2])
            self.assertTrue(left == home if home != 2 else left != 2)
        self.assertTrue(all(120 < homes.count(n) < 280 for n in range(5)), homes)
        self.assertIsNone(waypost.rendezvous(b"key", []))


if __name__ == "__main__":
    unittest.main()
