"""Live updates over a WebSocket."""

from fastapi import APIRouter

router = APIRouter()
