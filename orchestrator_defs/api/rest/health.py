"""Whether the server is well."""

from fastapi import APIRouter

router = APIRouter()
