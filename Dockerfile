# syntax=docker/dockerfile:1
# One file, three images, all of the versions in constraints.txt (docs/kubernetes.md):
#   docker build -t tuningfork:0.1.0 .                                                   CPUs: head, readers, laptops
#   docker build -t tuningfork-cuda:0.1.0 --build-arg DEVICE=cuda .                      GPUs: encoders, painters
#   docker build -t tuningfork-server:0.1.0 --build-arg DEVICE=cuda --target server .    tritonserver, with tuningfork in its Python
ARG PYTHON=3.11
ARG TRITONSERVER=26.07

# What both kinds of image install, by whichever Python their base has.
FROM scratch AS source
COPY pyproject.toml constraints.txt README.md LICENSE /
COPY pipeline /pipeline
COPY actors /actors
COPY kernels /kernels
COPY catalogs /catalogs

FROM python:${PYTHON}-slim-bookworm AS build
ARG DEVICE=cpu
COPY --from=source / /source
RUN python -m venv /opt/tuningfork
RUN --mount=type=bind,source=k8s/install.sh,target=/install.sh \
    --mount=type=cache,target=/root/.cache/pip \
    bash /install.sh /opt/tuningfork/bin/pip /source "$DEVICE"

FROM nvcr.io/nvidia/tritonserver:${TRITONSERVER}-py3 AS server
ARG DEVICE=cuda
COPY --from=source / /source
# The server's own Python, for its backend is built against it.
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/tuningfork
RUN --mount=type=bind,source=k8s/install.sh,target=/install.sh \
    --mount=type=cache,target=/root/.cache/pip \
    bash /install.sh /opt/tuningfork/bin/pip /source "$DEVICE" && rm -rf /source
ENV PATH=/opt/tuningfork/bin:$PATH HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["tuningfork"]

FROM python:${PYTHON}-slim-bookworm AS ray
# KubeRay's probes and start scripts call wget and bash.
RUN apt-get update && apt-get install -y --no-install-recommends bash wget && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --home-dir /tmp --no-create-home tuningfork
COPY --from=build /opt/tuningfork /opt/tuningfork
# Which GPUs a container sees, the device plugin says: an image that asks for all would get all of its node's, requested or not.
ENV PATH=/opt/tuningfork/bin:$PATH HOME=/tmp NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /tmp
ENTRYPOINT ["tuningfork"]
