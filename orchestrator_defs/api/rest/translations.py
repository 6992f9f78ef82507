"""The words of forms and workflows in a language."""

from fastapi import APIRouter

router = APIRouter()
