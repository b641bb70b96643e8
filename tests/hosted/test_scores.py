"""What comes back belongs to what was sent."""

from fake_nim import steps, truth

PASSAGES = [f"passage {number}" for number in range(100)]


def expected(query, passages):
    return [truth(query, passage) for passage in passages]


def test_scores_come_back_in_input_order(nim, hosted, score):
    assert score(hosted(nim()), "q", PASSAGES) == expected("q", PASSAGES)


def test_batches_are_merged_in_input_order(nim, hosted, score):
    server = nim()
    assert score(hosted(server, max_batch_size=7), "q", PASSAGES) == expected("q", PASSAGES)
    assert sorted(len(seen.pair[1]) for seen in server.seen) == [2] + [7] * 14


def test_no_passages_are_no_request(nim, hosted, score):
    server = nim()
    assert score(hosted(server), "q", []) == []
    assert not server.accepted


def test_a_chunked_reply_is_read_whole(nim, hosted, score):
    assert score(hosted(nim(steps.chunked(11))), "q", PASSAGES) == expected("q", PASSAGES)
