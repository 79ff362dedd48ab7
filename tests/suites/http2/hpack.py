"""h2spec's part "hpack": field blocks that can't be decoded are connection errors of type COMPRESSION_ERROR."""

from .cases import Case, connection_error, request
from .frames import COMPRESSION_ERROR, DEFAULT_TABLE, HEADER_TABLE_SIZE, table_size


def undecodable(name, title, representation):
    return Case(name, title, [request(after=bytes.fromhex(representation)), connection_error(COMPRESSION_ERROR)])


def too_large_a_table(connection):
    largest = connection.settings.get(HEADER_TABLE_SIZE, DEFAULT_TABLE)
    return request(before=table_size(largest + 1))(connection)


HPACK = [
    undecodable("hpack/2.3.3/1", "an indexed field with an invalid index", "c6"),
    undecodable("hpack/2.3.3/2", "a literal field with an invalid index", "7f0700"),
    undecodable("hpack/4.2/1", "a table size update at the end of a block", "21"),
    undecodable("hpack/5.2/1", "Huffman code with padding of more than 7 bits", "00 85f2b24a84ff 8449509fff"),
    undecodable("hpack/5.2/2", "Huffman code padded by zeros", "00 85f2b24a84ff 83495090"),
    undecodable("hpack/5.2/3", "Huffman code with EOS", "00 85f2b24a84ff 874951fffffffa7f"),
    undecodable("hpack/6.1/1", "an indexed field with index 0", "80"),
    Case(
        "hpack/6.3/1",
        "a table size update above SETTINGS_HEADER_TABLE_SIZE",
        [too_large_a_table, connection_error(COMPRESSION_ERROR)],
    ),
]
