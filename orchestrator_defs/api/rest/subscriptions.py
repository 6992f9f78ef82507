"""Subscriptions: read them, search them, set them in sync."""

from fastapi import APIRouter

router = APIRouter()
