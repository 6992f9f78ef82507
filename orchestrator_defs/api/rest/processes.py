"""Processes: start, resume, abort, look at them."""

from fastapi import APIRouter

router = APIRouter()
