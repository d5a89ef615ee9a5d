# face18 in containers, for the CPU.
#
#   docker build --tag face18 .                          the service: ONNX runtime, no torch
#   docker build --tag face18-full --target full .       every command: page, training, workers of a cluster
#
# Versions and hashes are those of the lock files. No image holds data: photographs and results are mounted.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/face18/bin:$PATH
# A number, so that Kubernetes can tell that it is not root.
RUN useradd --uid 10018 --user-group --create-home face18

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/face18
WORKDIR /source

FROM build AS build-service
COPY requirements-service.lock .
RUN pip install --require-hashes --requirement requirements-service.lock
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM build AS build-full
COPY requirements.lock .
RUN pip install --require-hashes --requirement requirements.lock
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM base AS full
COPY --from=build-full /opt/face18 /opt/face18
USER 10018
WORKDIR /home/face18
CMD ["face18", "--help"]

# The last stage is what is built without --target.
FROM base AS service
COPY --from=build-service /opt/face18 /opt/face18
USER 10018
WORKDIR /home/face18
EXPOSE 8018
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8018/health/ready', timeout=2)"]
CMD ["face18", "serve", "--runtime", "onnx", "--host", "0.0.0.0"]
