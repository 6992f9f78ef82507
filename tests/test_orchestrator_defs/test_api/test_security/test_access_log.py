"""The access log: who asked for what, without what opens the way to anybody who reads it."""

import logging

import pytest

from orchestrator_defs.api.server.prefork import mask_access


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/api/processes/1/callback/s3cret", "/api/processes/1/callback/***"),
        ("/orc/api/processes/1/callback/s3cret/progress", "/orc/api/processes/1/callback/***/progress"),
        ("/api/processes/all?token=s3cret", "/api/processes/all?***"),
        ("/api/login/callback?code=s3cret&state=1", "/api/login/callback?***"),
        ("/api/processes/", "/api/processes/"),
    ],
)
def test_a_line_has_no_secrets(path, written):
    words: tuple[object, ...] = ("127.0.0.1:1", "GET", path, "1.1", 200)
    line = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', words, None)
    assert mask_access(line)
    assert line.getMessage() == f'127.0.0.1:1 - "GET {written} HTTP/1.1" 200'
