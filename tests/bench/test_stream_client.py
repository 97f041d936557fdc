from bench.stream_client import sse_events


def test_events_are_read_across_http_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = head + b"6\r\ndata: \r\n3\r\n1\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"

    assert sse_events(answer) == [b"data: 1", b"data: [DONE]"]


def test_named_events_are_their_data() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n1d\r\nevent: ping\ndata: 1\n\ndata: 2\n\n\r\n0\r\n\r\n"

    assert sse_events(answer) == [b"data: 1", b"data: 2"]


def test_comments_are_not_events() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n1f\r\n: keep-alive\n\ndata: [DONE]\n\n\n\n\n\r\n0\r\n\r\n"

    assert sse_events(answer) == [b"data: [DONE]"]
