"""What customers call subscriptions."""

from fastapi import APIRouter

router = APIRouter()
