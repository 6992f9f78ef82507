"""Named forms."""

from fastapi import APIRouter

router = APIRouter()
