/** What a post may be asked for, as the API takes it (schemas/posts.py). */

import type { Schemas } from "../api/client";

export type NewPost = Schemas["NewPost"];
export type Platform = NewPost["platform"];
export type Tone = NewPost["tone"];

interface PlatformLimits {
  title: string;
  /** So many characters of a caption the platform takes. */
  captionCharacters: number;
  /** Pixels of the picture that fits its feed. */
  width: number;
  height: number;
}

/** PLATFORMS of schemas/posts.py, in the same order. */
export const PLATFORMS: Record<Platform, PlatformLimits> = {
  instagram: { title: "Instagram", captionCharacters: 2200, width: 1024, height: 1024 },
  x: { title: "X", captionCharacters: 280, width: 1536, height: 1024 },
  linkedin: { title: "LinkedIn", captionCharacters: 3000, width: 1536, height: 1024 },
  facebook: { title: "Facebook", captionCharacters: 2000, width: 1536, height: 1024 },
  tiktok: { title: "TikTok", captionCharacters: 2200, width: 1024, height: 1536 },
  pinterest: { title: "Pinterest", captionCharacters: 500, width: 1024, height: 1536 },
};

export const TONES: readonly Tone[] = [
  "friendly",
  "professional",
  "playful",
  "inspiring",
  "witty",
  "informative",
];

export const PROMPT_CHARACTERS = 10_000;
export const MOST_VARIANTS = 4;

/** Characters as the API and the platforms' limits count them: an emoji is no two. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
