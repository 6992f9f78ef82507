"""What clients want in the server's log."""

from fastapi import APIRouter

router = APIRouter()
