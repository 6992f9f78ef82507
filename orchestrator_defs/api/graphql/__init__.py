"""GraphQL: types made from the registered models, over the readers of pages."""
