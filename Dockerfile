# Stage 1: the environment and everything that is compiled.
FROM python:3.11-slim-bookworm AS build
RUN pip install --no-cache-dir uv
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev
COPY . .
# Babel is needed to compile translations, not to run.
RUN uv run --no-project --with babel --with django==5.2.* python -m bin.translations compile
# The build needs settings, not secrets: the embedded default makes its own and they are thrown away.
RUN COSTROUTER_VAR=/tmp/build .venv/bin/python manage.py collectstatic --noinput -v0 && rm -rf /tmp/build

# Stage 2: what runs.
FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home costrouter \
    && mkdir -p /var/lib/costrouter && chown costrouter /var/lib/costrouter
COPY --from=build /app /app
WORKDIR /app
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1 COSTROUTER_VAR=/var/lib/costrouter HOST=0.0.0.0 PORT=8000
USER costrouter
VOLUME /var/lib/costrouter
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["bin/healthy"]
CMD ["bin/serve"]
