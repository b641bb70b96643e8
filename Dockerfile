# A reranking server: the scorer and its settings are arguments, the key is NVRERANK_API_KEY. See docs/serving.md.
#   docker build -t nvrerank .
#   docker run --read-only --tmpfs /tmp -p 8000:8000 -e NVRERANK_API_KEY nvrerank
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY shared/nvrerank shared/nvrerank
COPY langchain_nvrerank langchain_nvrerank
COPY llamaindex_nvrerank llamaindex_nvrerank
RUN python -m venv /opt/nvrerank && /opt/nvrerank/bin/pip install --no-cache-dir '.[serve,local]'

FROM python:3.13-slim
COPY --from=build /opt/nvrerank /opt/nvrerank
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin nvrerank
# Nothing is written: no bytecode, and a model's folder is mounted, such as -v /models/bge:/model:ro
ENV PATH=/opt/nvrerank/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HF_HUB_OFFLINE=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v1/health/ready', timeout=2)"]
ENTRYPOINT ["nvrerank", "serve", "--host", "0.0.0.0"]
