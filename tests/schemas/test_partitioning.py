"""Keys meet the partition that Kafka's Java client would choose."""

from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.partitioning import murmur2, partition_for, partitions_for


@given(st.binary(max_size=80))
@example(b"0192d2ab-0000-7000-8000-0000000000ff")
def test_murmur2_is_that_of_kafkas_clients(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_aiokafka(key)


def test_values_of_the_java_client() -> None:
    # From org.apache.kafka.common.utils.UtilsTest.testMurmur2, as unsigned numbers.
    assert murmur2(b"21") == -973932308 % 2**32
    assert murmur2(b"foobar") == -790332482 % 2**32
    assert murmur2(b"a-little-bit-long-string") == -985981536 % 2**32


@given(st.binary(max_size=80), st.integers(1, 100))
def test_partitions_are_in_range(key: bytes, partitions: int) -> None:
    assert 0 <= partition_for(key, partitions) < partitions


@given(
    st.lists(st.uuids().map(lambda value: str(value).encode()), max_size=60)
    | st.lists(st.binary(min_size=36, max_size=36), max_size=60)
    | st.lists(st.binary(max_size=40), max_size=20),
    st.integers(1, 100),
)
def test_keys_hashed_together_meet_the_partitions_of_each(
    keys: list[bytes], partitions: int
) -> None:
    assert partitions_for(keys, partitions) == [partition_for(key, partitions) for key in keys]
