"""The engine and the server's settings."""

from fastapi import APIRouter

router = APIRouter()
