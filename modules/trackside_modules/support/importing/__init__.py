"""Bringing in what was logged elsewhere: `sheet` reads CSV, `zendesk` its JSON, `service.imports` writes either."""
