"""Schedules made at run time."""

from fastapi import APIRouter

router = APIRouter()
