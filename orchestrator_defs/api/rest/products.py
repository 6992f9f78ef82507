"""Products, blocks and resource types: read them, edit their descriptions."""

from fastapi import APIRouter

router = APIRouter()
